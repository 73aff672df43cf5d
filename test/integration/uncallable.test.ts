import { expect } from "chai";
import { procedure, type TokenSocketServerOptions } from "../../lib/index.js";
import { Application } from "../support/application.js";

const noop = () => {};

/** What is wrong in the options' types is right in JavaScript. */
const wrong = (value: object) => value as never;

const cycle: Record<string, unknown> = { noop, bad: true };
cycle.itself = cycle;

const endless = (): object =>
  new Proxy(
    {},
    {
      ownKeys: () => ["next"],
      getOwnPropertyDescriptor: () => ({ value: endless(), enumerable: true, configurable: true }),
    },
  );

const unreadable = new Proxy(
  {},
  {
    ownKeys: () => {
      throw new Error("unreadable");
    },
  },
);

class Rooms {
  readonly limit = 5;
  readonly list = noop;
}

describe("Values that clients cannot call", () => {
  let application: Application;

  const start = async (options: TokenSocketServerOptions = {}) => {
    application = await Application.start({ options });
  };
  afterEach(() => application.stop());

  const warnings = () => application.log.filter((line) => line.includes("clients cannot call"));

  const HOLDS = {
    socketController: "functions, procedures and objects of these",
    routes: "functions, arrays of functions and objects of these",
  };

  for (const name of ["socketController", "routes"] as const) {
    const message = (list: string) =>
      `node-token-sockjs: clients cannot call ${list}: options.${name} is for ${HOLDS[name]}`;

    it(`are named in one warning when the server is made with them in ${name}`, async () => {
      await start({ [name]: { a: { noop, bad: 5 }, "my key": "secret", absent: undefined } });
      expect(warnings()).to.deep.equal([
        message(
          `options.${name}["my key"] (a string), options.${name}.absent (undefined), options.${name}.a.bad (a number)`,
        ),
      ]);
    });

    it(`are named in one warning when they are set as ${name}`, async () => {
      await start();
      application.tokenServer[name] = wrong({ noop, "a.b": noop, none: null });
      expect(warnings()).to.deep.equal([
        message(`options.${name}["a.b"] (its name has a dot), options.${name}.none (null)`),
      ]);
    });

    it(`are named up to a number in ${name}`, async () => {
      await start({ [name]: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`n${i}`, i])) });
      expect(warnings()).to.have.length(1);
      expect(warnings()[0]).to.include("n4 (a number), others:").and.not.include("n5");
      application.tokenServer[name] = wrong({ a: 1, b: 1, c: 1, d: 1, e: 1 });
      expect(warnings()[1]).to.include(".e (a number): options");
    });

    it(`are neither what may be called nor the data of instances in ${name}`, async () => {
      let reads = 0;
      const withGetters = {
        get read() {
          reads++;
          return 5;
        },
        get failing(): never {
          throw new Error("failed");
        },
      };
      const hidden = Object.defineProperty({}, "hidden", { value: 5 });
      await start({
        [name]: {
          noop,
          nested: { deeper: { noop } },
          rooms: new Rooms(),
          none: Object.create(null),
          withGetters,
          hidden,
        },
      });
      expect(warnings()).to.deep.equal([]);
      expect(reads).to.equal(0);
    });

    it(`are looked for in ${name} whatever its objects are like`, async () => {
      await start({ [name]: { bare: Object.create(null), cycle, endless: endless(), bad: 5 } });
      application.tokenServer[name] = wrong({ unreadable });
      application.tokenServer[name] = wrong(unreadable);
      expect(warnings()).to.deep.equal([
        message(`options.${name}.bad (a number), options.${name}.cycle.bad (a boolean)`),
      ]);
    });
  }

  it("may be arrays and procedures, each in one of the two", async () => {
    const callable = procedure(noop);
    await start({ socketController: { callable }, routes: { list: [noop, [noop]] } });
    expect(warnings()).to.deep.equal([]);
    application.tokenServer.socketController = wrong({ list: [noop] });
    application.tokenServer.routes = wrong({ callable, empty: [], list: [noop, "cors", { noop }] });
    const [inController, inRoutes] = warnings();
    expect(inController).to.include("cannot call options.socketController.list (an array):");
    expect(inRoutes).to.include(
      "cannot call options.routes.callable (a procedure), options.routes.empty (an empty array), " +
        "options.routes.list[1] (a string), options.routes.list[2] (an object):",
    );
  });

  it("leave the functions beside them as they are", async () => {
    await start({
      socketController: wrong({ factor: 2, double: (_auth: unknown, data: number) => data * 2 }),
    });
    const client = await application.connect();
    expect(await client.request({ rpc: "double", req: 3 })).to.have.property("resp", 6);
    expect(await client.request({ rpc: "factor" })).to.have.property("error", "Function not found");
  });
});
