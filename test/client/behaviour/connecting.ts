import { expect } from "chai";
import type { State } from "../../../lib/client/index.js";
import { subject } from "./context.js";
import { called, failure, happened, inState, me, SLOW } from "./helpers.js";

export const connecting = subject("A client that connects", {
  "is carried as it was told": async ({ connect, protocol }) => {
    expect(await me(connect())).to.have.property("protocol", protocol);
  },

  "is connecting, then open, and says so once": async ({ connect }) => {
    const client = connect();
    const heard: unknown[] = [];
    client.on("state", (...args) => heard.push(args));
    client.on("ready", () => heard.push("ready"));
    client.on("reconnect", () => heard.push("reconnect"));
    expect([client.state, client.reason]).to.deep.equal(["connecting", undefined]);
    await client.ready();
    expect(client.state).to.equal("open");
    expect(await client.rpc("echo", 1)).to.equal(1);
    expect(heard).to.deep.equal([["open", "connecting", undefined], "ready"]);
  },

  "is ready at once when it is open, by promise and by callback": async ({ connect }) => {
    const client = connect();
    expect(await called((callback) => client.ready(callback))).to.deep.equal([null, undefined]);
    await client.ready();
    expect(await called((callback) => client.ready(callback))).to.deep.equal([null, undefined]);
    expect(client.ready(() => {})).to.equal(undefined);
  },

  "takes no option that it does not know, and no value of another type": async ({ TokenSocket }) => {
    const unknown: Record<string, unknown> = { retries: 1 };
    const wrong: Record<string, unknown> = { callTimeout: "soon" };
    for (const [options, text] of [
      [unknown, "retries"],
      [wrong, "callTimeout"],
    ] as const) {
      expect(() => new TokenSocket(options)).to.throw(TypeError, text);
    }
  },

  "takes null for an option that is left out": async ({ connect }) => {
    const client = connect({ port: null, authentication: null, headers: null, queue: null, ping: null });
    expect(await client.rpc("echo", 1)).to.equal(1);
  },

  "sends authentication data, also nested, with its token request": async ({ connect }) => {
    const client = connect({ authentication: { project: { id: 7 }, list: ["ü", 2], none: null } });
    expect((await me(client)).auth).to.deep.include({
      method: "GET",
      data: { project: { id: "7" }, list: ["ü", "2"], none: "" },
    });
  },

  "sends authentication data as a JSON body where it is told to": async ({ connect }) => {
    const data = { project: { id: 7 }, list: ["ü", 2], none: null };
    const client = connect({ tokenMethod: "POST", authentication: data });
    expect((await me(client)).auth).to.deep.include({ method: "POST", data });
    expect((await me(connect({ tokenMethod: "POST" }))).auth).to.deep.include({ method: "POST", data: {} });
  },

  "asks a function for authentication data before each attempt": async ({ connect }) => {
    let asked = 0;
    const client = connect({ authentication: async () => ({ asked: ++asked }) });
    expect((await me(client)).auth.data).to.deep.equal({ asked: "1" });
    client.rpc("test.drop", 4999);
    await happened(client, "reconnect");
    expect((await me(client)).auth.data).to.deep.equal({ asked: "2" });
    const plain = connect({ authentication: () => ({ plain: true }) });
    expect((await me(plain)).auth.data).to.deep.equal({ plain: "true" });
  },

  "sends its headers with its token request": async ({ connect }) => {
    const client = connect({ headers: { "X-Sample": "yes" } });
    expect((await me(client)).auth).to.have.property("sample", "yes");
  },

  "fetches its token by the function that it was given": async ({ connect }) => {
    const requests: unknown[] = [];
    const client = connect({
      fetch: (url, init) => {
        const { method, credentials, cache } = init;
        requests.push([new URL(url).pathname, { method, credentials, cache }]);
        return fetch(url, init);
      },
      credentials: "omit",
    });
    await client.ready();
    expect(requests).to.deep.equal([
      ["/socket/token", { method: "GET", credentials: "omit", cache: "no-store" }],
    ]);
  },

  "tries again after a failure, and says why it waits": async ({ connect, errors }) => {
    let asked = 0;
    const client = connect({
      authentication: () => {
        asked++;
        if (asked === 1) throw new Error("Not yet");
        return asked === 2 ? { broken: true } : {};
      },
    });
    const states: State[] = [];
    const reasons: (Error | undefined)[] = [];
    client.on("state", (state, _previous, reason) => {
      states.push(state);
      if (state === "waiting") reasons.push(reason, client.reason);
    });
    await client.ready();
    expect(states).to.deep.equal(["waiting", "connecting", "waiting", "connecting", "open"]);
    const [first, sameFirst, second, sameSecond] = reasons;
    expect(first).to.equal(sameFirst).and.to.have.property("message", "Not yet");
    expect(second).to.equal(sameSecond).and.to.be.instanceOf(errors.ConnectionError);
    expect(second).to.include({ code: "connection", status: 500, message: "Which user?" });
    expect(client.reason).to.equal(undefined);
  },

  "is closed for good where the token route refuses the user": async ({ connect, errors }) => {
    const client = connect({ authentication: { refused: true } });
    const call = failure(client.rpc("echo"));
    const ready = failure(client.ready());
    const reason = await inState(client, "closed");
    expect(reason).to.be.instanceOf(errors.UnauthorizedError).with.property("code", "unauthorized");
    for (const error of [await call, await ready, await failure(client.rpc("echo")), client.reason]) {
      expect(error).to.equal(reason);
    }
  },

  "asks a function once more after a refusal, and gives up where that has nothing new": async ({
    connect,
    errors,
  }) => {
    let asked = 0;
    const learning = connect({ authentication: () => (++asked === 1 ? { refused: true } : {}) });
    await learning.ready();
    expect(asked).to.equal(2);
    const stubborn = connect({ authentication: () => ({ refused: true, asked: Math.min(++asked, 4) }) });
    expect(await inState(stubborn, "closed")).to.be.instanceOf(errors.UnauthorizedError);
    expect(asked).to.equal(5);
  },

  "is closed for good where the server does not let it in after all": async ({ connect, errors }) => {
    const client = connect({ authentication: { version: 7 } }, { version: () => 6 });
    expect(await inState(client, "closed")).to.be.instanceOf(errors.UnauthorizedError);
  },

  "answers the server also while it is being let in": async ({ connect }) => {
    await connect({ authentication: { version: 7 } }, { version: () => 7 }).ready();
  },

  "is closed by its first failure where it is not to come back": async ({ connect, errors }) => {
    const client = connect({ reconnect: false, authentication: { broken: true } });
    expect(await inState(client, "closed")).to.be.instanceOf(errors.ConnectionError);
    const other = connect({ reconnect: false });
    await other.ready();
    await failure(other.rpc("test.drop", 4999));
    expect(await inState(other, "closed"))
      .to.be.instanceOf(errors.ConnectionError)
      .with.property("status", 4999);
  },

  "does not wait for ever for a token": async ({ connect, errors }) => {
    const client = connect({ connectTimeout: 20, backoff: SLOW, fetch: () => new Promise(() => {}) });
    const reason = await inState(client, "waiting");
    expect(reason).to.be.instanceOf(errors.ConnectionError);
    expect(reason?.message).to.equal("token took over 20 ms");
  },

  "finds out by itself that the server does not answer any more, where it is to try": async ({
    connect,
    errors,
  }) => {
    const client = connect({ ping: 20, pingTimeout: 1000 });
    await client.ready();
    const back = happened(client, "reconnect");
    client.rpc("test.deafen");
    expect(await inState(client, "waiting"))
      .to.be.instanceOf(errors.ConnectionError)
      .with.property("message", "No answer");
    await back;
    expect(await client.rpc("echo", 1)).to.equal(1);
  },
});
