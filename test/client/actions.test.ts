import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import { type Actions, ActionTable } from "../../lib/client/calls/actions.js";
import { RpcError } from "../../lib/client/index.js";

type Callback = (error?: unknown, value?: unknown) => void;

describe("An action", () => {
  let logged: unknown[][];
  let table: ActionTable;
  const INTERNAL = { error: "Internal error" };

  beforeEach(() => {
    logged = [];
    table = new ActionTable({ error: (...args) => logged.push(args), debug() {} });
  });

  /** All that the server gets, after whatever the action has begun. */
  const answers = async (actions: unknown, path = "f", args: unknown = 1, send = (_json: string) => {}) => {
    table.register(actions as Actions);
    const sent: unknown[] = [];
    table.call(path, args, (json) => {
      send(json);
      sent.push(JSON.parse(json));
    });
    await turn();
    return sent;
  };

  it("answers by what it returns, or what that comes to", async () => {
    for (const [action, answer] of [
      [(data: number) => data + 1, { data: 2 }],
      [async (data: number) => data + 2, { data: 3 }],
      [() => null, { data: null }],
      [() => {}, {}],
      [async () => {}, {}],
    ] as const) {
      expect(await answers({ f: action }), String(action)).to.deep.equal([answer]);
    }
    expect(logged).to.deep.equal([]);
  });

  it("answers by its callback, as functions of the server do", async () => {
    for (const [given, answer] of [
      [[], {}],
      [[null, 5], { data: 5 }],
      [[undefined, 5], { data: 5 }],
      [[false], { data: false }],
      [[false, 0], { data: 0 }],
      [["No paper"], { error: "No paper" }],
      [[new RpcError("No paper", { code: 7 })], { error: { message: "No paper", code: 7 } }],
      // what is given on purpose is meant for the server, whatever its class
      [[new Error("No paper")], { error: { message: "No paper" } }],
      [[""], INTERNAL],
    ] as const) {
      const action = (_data: unknown, callback: Callback) => callback(...given);
      expect(await answers({ f: action }), JSON.stringify(given)).to.deep.equal([answer]);
    }
    expect(logged).to.deep.equal([]);
  });

  it("with a callback answers by nothing else, as long as it does not fail", async () => {
    expect(await answers({ f: (_data: unknown, _callback: Callback) => 5 })).to.deep.equal([]);
    expect(await answers({ f: async (_data: unknown, _callback: Callback) => 5 })).to.deep.equal([]);
    expect(logged).to.deep.equal([]);
  });

  it("may answer by a callback that it does not declare, and then return nothing", async () => {
    const early = (..._args: unknown[]) => {
      (_args[1] as Callback)(null, 5);
    };
    expect(early).to.have.length(0);
    expect(await answers({ f: early })).to.deep.equal([{ data: 5 }]);
    expect(logged).to.deep.equal([]);
  });

  it("answers once, and its second answer is logged", async () => {
    const error = new Error("Too late");
    for (const [action, second] of [
      [
        (...args: unknown[]) => {
          (args[1] as Callback)(null, 5);
          return 6;
        },
        6,
      ],
      [(_data: unknown, callback: Callback) => [callback(null, 5), callback(null, 6)], 6],
      [(_data: unknown, callback: Callback) => [callback(null, 5), callback(error)], error],
      [
        async (_data: unknown, callback: Callback) => {
          callback(null, 5);
          throw error;
        },
        error,
      ],
    ] as const) {
      logged.length = 0;
      expect(await answers({ f: action })).to.deep.equal([{ data: 5 }]);
      expect(logged).to.deep.equal([["The action f answered again", second]]);
    }
  });

  it("that fails tells the server nothing, unless by an RpcError, and is logged", async () => {
    for (const thrown of [new Error("secret"), "secret", { code: "secret" }, null, undefined]) {
      for (const action of [
        () => {
          throw thrown;
        },
        () => Promise.reject(thrown),
        (_data: unknown, _callback: Callback) => Promise.reject(thrown),
      ]) {
        logged.length = 0;
        expect(await answers({ deep: { f: action } }, "deep.f"), String(thrown)).to.deep.equal([INTERNAL]);
        expect(logged).to.deep.equal([["The action deep.f failed", thrown ?? null]]);
      }
    }
    logged.length = 0;
    const meant = () => {
      throw new RpcError("Sold out", { code: "E", data: { left: 0 } });
    };
    const error = { message: "Sold out", code: "E", data: { left: 0 } };
    expect(await answers({ f: meant })).to.deep.equal([{ error }]);
    expect(logged).to.deep.equal([]);
  });

  it("whose value is no JSON fails, and is logged", async () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    const odd = {
      toJSON() {
        throw undefined;
      },
    };
    for (const value of [1n, cycle, odd]) {
      logged.length = 0;
      expect(await answers({ f: () => value })).to.deep.equal([INTERNAL]);
      expect(logged).to.have.length(1);
      expect(logged[0]?.[0]).to.equal("The action f failed");
    }
  });

  it("whose answer cannot be sent answers with the reason", async () => {
    const tooMuch = (json: string) => {
      if (json.length > 100) throw new RpcError("Too much", { code: "too_large" });
    };
    const sent = await answers({ f: () => "x".repeat(100) }, "f", 1, tooMuch);
    expect(sent).to.deep.equal([{ error: { message: "Too much", code: "too_large" } }]);
    expect(logged).to.deep.equal([]);
  });

  it("has the object that holds it for `this`", async () => {
    const printer = {
      paper: () => 3,
      left(this: { paper(): number }) {
        return this.paper();
      },
    };
    expect(await answers({ printer }, "printer.left")).to.deep.equal([{ data: 3 }]);
  });

  it("is a function of the application's own alone", async () => {
    const actions = { f: () => 1, deep: { f: () => 1 } };
    for (const path of ["", "g", "deep", "deep.g", "f.call", "toString", "deep.constructor", "__proto__.f"]) {
      const [answer] = await answers(actions, path);
      expect(answer, path).to.deep.equal({ error: "Function not found" });
    }
    expect(logged).to.deep.equal([]);
  });

  it("takes the place of one of its name, and leaves the others", async () => {
    table.register({ f: () => 1, g: () => 2 });
    expect(await answers({ f: () => 3 }, "f")).to.deep.equal([{ data: 3 }]);
    expect(await answers({}, "g")).to.deep.equal([{ data: 2 }]);
  });

  it("is checked when it is registered, and named where it is wrong", () => {
    for (const [actions, name] of [
      ["f", "action "],
      [null, "action "],
      [{ f: 1 }, "action f"],
      [{ f: () => 1, deep: { er: { g: "x" } } }, "action deep.er.g"],
      [[() => 1], "action "],
    ] as const) {
      const message = `${name} must be: function`;
      expect(() => table.register(actions as never), message)
        .to.throw(TypeError)
        .with.property("message", message);
    }
    const own: Record<string, unknown> = { f: () => 1 };
    own.own = own;
    table.register(own as Actions);
  });
});
