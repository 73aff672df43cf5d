import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "chai";
import * as library from "../../lib/index.js";
import { Application } from "../support/application.js";
import { installPackage } from "./installed-package.js";

type Library = typeof library;

describe("a server and another copy of the package", () => {
  /** What the copies export, as an ES module and as CommonJS. */
  const copies: Record<string, Library> = {};
  let application: Application;

  before(async function () {
    this.timeout(300_000);
    const dist = join(await installPackage(), "node_modules/node-token-sockjs/dist");
    copies["an ES module"] = await import(pathToFileURL(join(dist, "index.js")).href);
    copies.CommonJS = createRequire(import.meta.url)(join(dist, "cjs/index.cjs"));
  });
  afterEach(() => application?.stop());

  for (const kind of ["an ES module", "CommonJS"]) {
    const other = (): Library => copies[kind] as Library;

    it(`know each other's identities with an end, errors and procedures, where that is ${kind}`, async () => {
      const { expiring, RpcError, procedure } = other();
      class SoldOut extends RpcError {}
      application = await Application.start({
        options: {
          authentication: () => expiring({ id: "a" }, Date.now() + 60_000),
          socketController: {
            who: (auth: unknown) => auth,
            buy: () => {
              throw new SoldOut("Sold out", { code: "E_SOLD_OUT" });
            },
            read: procedure({
              handler: () => {
                throw new library.RpcError("Unreadable");
              },
            }),
            double: procedure({ handler: async () => 2 }),
          },
        },
      });
      const client = await application.connect();
      const ask = async (rpc: string) => {
        const { resp, error } = await client.request({ rpc, req: {} });
        return error ?? resp;
      };
      expect(await ask("who")).to.deep.equal({ id: "a" });
      expect(await ask("buy")).to.deep.equal({ message: "Sold out", code: "E_SOLD_OUT" });
      expect(await ask("read")).to.deep.equal({ message: "Unreadable" });
      expect(await ask("double")).to.equal(2);
    });

    it(`tell errors of a class from others', where that is ${kind}`, () => {
      const { RpcError, NotFoundError, RemoteError, CallError, TimeoutError } = other();
      expect(new NotFoundError({})).to.be.an.instanceof(library.NotFoundError);
      expect(new NotFoundError({})).to.be.an.instanceof(library.RemoteError);
      expect(new library.NotFoundError({})).to.be.an.instanceof(CallError);
      expect(new RemoteError({})).to.not.be.an.instanceof(library.NotFoundError);
      expect(new TimeoutError(1)).to.not.be.an.instanceof(library.RemoteError);
      class Own extends library.RpcError {}
      expect(new Own("")).to.be.an.instanceof(RpcError);
      expect(new RpcError("")).to.not.be.an.instanceof(Own);
      expect(new library.RpcError("")).to.not.be.an.instanceof(Own);
      expect(new Own("")).to.be.an.instanceof(Own);
      for (const value of [undefined, null, "Error", new Error("No"), {}, RpcError]) {
        expect(value).to.not.be.an.instanceof(library.RpcError);
      }
    });
  }
});
