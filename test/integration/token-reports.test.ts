import { expect } from "chai";
import sinon from "sinon";
import { RpcError } from "../../lib/index.js";
import { MemoryStore } from "../../lib/server/redis/memory-store.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { reported } from "../support/condition.js";
import { askForToken } from "../support/http-request.js";

describe("What goes wrong with a token request", () => {
  let application: Application;
  let told: [message: string, context: string][];

  const start = async (options: ApplicationOptions["options"], prepare?: ApplicationOptions["prepare"]) => {
    told = [];
    application = await Application.start({
      options: { exposeErrors: true, ...options },
      ...(prepare && { prepare }),
    });
    application.tokenServer.on("error", ({ message }, context) => told.push([message, context]));
  };

  afterEach(async () => {
    sinon.restore();
    await application.stop();
  });

  /** What the client and the application are told. */
  const ask = async () => {
    const { status, body } = await askForToken(application.url);
    await reported();
    return [status, body.error, ...told.splice(0).flat()];
  };

  it("is told by what has failed", async () => {
    await start({ limits: { authenticationTimeout: 20 } });
    const { tokenServer } = application;
    tokenServer.authentication = () => Promise.reject(new Error("a"));
    expect(await ask()).to.deep.equal([500, "a", "a", "authentication at the token route failed"]);
    tokenServer.authentication = () => Promise.reject(new RpcError("b"));
    expect(await ask()).to.deep.equal([500, "b"]);
    tokenServer.authentication = () => new Promise(() => {});
    const late = ["There was no answer in time", "authentication at the token route"];
    expect(await ask()).to.deep.equal([503, "No answer in time", ...late]);
    tokenServer.authentication = (_req, callback) => {
      for (const name of ["c", "d"]) callback(null, { name });
    };
    const [status, , , context] = await ask();
    expect([status, context]).to.deep.equal([200, "authentication at the token route answered again"]);
    tokenServer.authentication = () => Promise.resolve({ id: 1 });
    sinon.stub(MemoryStore.prototype, "set").throws(new Error("e"));
    expect(await ask()).to.deep.equal([503, "Service unavailable", "e", "storing a token failed"]);
  });

  it("is told of a session that cannot be read", async () => {
    await start({}, (app) =>
      app.use((req, _res, next) => {
        const get = () => {
          throw new Error("f");
        };
        Object.defineProperty(req.session, "user", { get });
        next();
      }),
    );
    application.tokenServer.authentication = "user";
    expect(await ask()).to.deep.equal([500, "f", "f", "the session of a token request cannot be read"]);
  });

  it("is told at debug where there are too many tokens, and a good answer asks nobody to come back or to go", async () => {
    await start({ debug: true, limits: { tokensPerIp: 1 } });
    const { status, headers } = await fetch(`${application.url}/socket/token`);
    expect([status, headers.get("retry-after")]).to.deep.equal([200, null]);
    expect(headers.get("connection")).to.not.equal("close");
    expect(await ask()).to.deep.equal([429, "Too many tokens"]);
    const log = application.log.join("\n");
    expect(log).to.include("a token request was refused: its session or address has too many tokens");
  });
});
