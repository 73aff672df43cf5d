import { expect } from "chai";
import type { TokenSocket } from "../../../lib/client/index.js";
import { subject } from "./context.js";

/** What the server gets when it calls an action: a value or an error. */
interface Answer {
  value?: unknown;
  error?: { message: string; code?: string | number; data?: unknown };
}

function ask(client: TokenSocket, name: string, data?: unknown): Promise<Answer> {
  return client.rpc<Answer>("test.call", data === undefined ? { name } : { name, data });
}

export const actions = subject("A client's actions", {
  "answer by a value, a promise or a callback": async ({ connect }) => {
    const client = connect(
      {},
      {
        value: (data: number) => data + 1,
        promise: async (data: number) => data + 2,
        callback: (data: number, callback) => setTimeout(callback, 0, null, data + 3),
        nothing: () => {},
        deep: { er: { rest: (...args: unknown[]) => args[0] } },
      },
    );
    expect(await ask(client, "value", 1)).to.deep.equal({ value: 2 });
    expect(await ask(client, "promise", 1)).to.deep.equal({ value: 3 });
    expect(await ask(client, "callback", 1)).to.deep.equal({ value: 4 });
    expect(await ask(client, "nothing", 1)).to.deep.equal({});
    const data = { ü: ["👋", null, { a: [] }] };
    expect(await ask(client, "deep.er.rest", data)).to.deep.equal({ value: data });
  },

  "are called on the object that holds them": async ({ connect }) => {
    const counter = {
      count: () => 5,
      next(): number {
        return this.count() + 1;
      },
    };
    expect(await ask(connect({}, { counter }), "counter.next")).to.deep.equal({ value: 6 });
  },

  "may be added and replaced later": async ({ connect }) => {
    const client = connect({}, { old: () => "old", kept: () => "kept" });
    expect(await ask(client, "fresh")).to.have.nested.property("error.message", "Function not found");
    expect(client.register({ old: () => "new", fresh: () => "fresh" })).to.equal(client);
    expect(await ask(client, "old")).to.deep.equal({ value: "new" });
    expect(await ask(client, "fresh")).to.deep.equal({ value: "fresh" });
    expect(await ask(client, "kept")).to.deep.equal({ value: "kept" });
  },

  "are not found by a path that leads nowhere, or to what is inherited": async ({ connect }) => {
    const client = connect({}, { known: () => 1, deep: { known: () => 1 } });
    for (const name of [
      "unknown",
      "deep",
      "deep.unknown",
      "known.call",
      "toString",
      "__proto__",
      "deep.constructor",
    ]) {
      expect((await ask(client, name)).error, name).to.include({ message: "Function not found" });
    }
  },

  "tell the server what they were meant to tell it of an error": async ({ connect, errors, logged }) => {
    const { RpcError } = errors;
    const client = connect(
      {},
      {
        given: (_data: unknown, callback) => callback(new RpcError("No paper", { code: "E_PAPER" })),
        thrown: () => {
          throw new RpcError("Mine", { code: 7, data: { left: [1] } });
        },
        rejected: () => Promise.reject(new RpcError("Later", { code: 8, data: null })),
      },
    );
    expect(await ask(client, "given"))
      .to.have.property("error")
      .that.deep.include({ message: "No paper", code: "E_PAPER" });
    expect(await ask(client, "thrown")).to.deep.equal({
      error: { message: "Mine", code: 7, data: { left: [1] } },
    });
    expect(await ask(client, "rejected"))
      .to.have.property("error")
      .that.deep.include({ message: "Later", code: 8 });
    expect(logged.errors).to.deep.equal([]);
  },

  "keep other errors to themselves, and log them": async ({ connect, logged }) => {
    const client = connect(
      {},
      {
        crash: () => {
          throw new Error("secret");
        },
        later: async () => {
          throw new TypeError("secret, too");
        },
        cycle: () => {
          const cycle: unknown[] = [];
          cycle.push(cycle);
          return cycle;
        },
      },
    );
    for (const name of ["crash", "later", "cycle"]) {
      expect((await ask(client, name)).error, name).to.include({ message: "Internal error" });
    }
    expect(logged.errors.map(([message]) => message)).to.deep.equal(
      ["crash", "later", "cycle"].map((name) => `The action ${name} failed`),
    );
  },

  "answer once": async ({ connect, logged }) => {
    const client = connect(
      {},
      {
        twice: (_data: unknown, callback) => {
          callback(null, 1);
          callback(null, 2);
        },
      },
    );
    expect(await ask(client, "twice")).to.deep.equal({ value: 1 });
    expect(logged.errors.map(([message]) => message)).to.deep.equal(["The action twice answered again"]);
  },

  "may call the server themselves": async ({ connect }) => {
    const client = connect({}, { relay: (data: unknown) => client.rpc("echo", data) });
    expect(await ask(client, "relay", "round")).to.deep.equal({ value: "round" });
  },

  "are there again on the next connection": async ({ connect }) => {
    const client = connect({}, { known: () => 1 });
    client.rpc("test.drop", 4999);
    await new Promise<void>((resolve) => client.onreconnect(resolve));
    expect(await ask(client, "known")).to.deep.equal({ value: 1 });
  },
});
