import { once } from "node:events";
import { expect } from "chai";
import sinon from "sinon";
import type { Socket } from "../../lib/index.js";
import { Application } from "../support/application.js";
import type { WireClient } from "../support/wire-client.js";

describe("the server's call", () => {
  let application: Application;
  let client: WireClient;
  let socket: Socket;

  beforeEach(async () => {
    application = await Application.start();
    client = await application.connect();
    socket = application.socket() as Socket;
  });
  afterEach(() => application.stop());

  const answer = async (resp: unknown) => {
    const { fid } = await client.takeCall();
    client.send({ rpc: "_rpc", fid, resp });
  };
  const rejection = (promise: Promise<unknown>) =>
    promise.then(
      () => {
        throw new Error("it was not rejected");
      },
      (error: Error & { code?: unknown; data?: unknown }) => error,
    );

  it("sends one frame with the path and the arguments", async () => {
    const calling = application.tokenServer.rpc(socket, "ui.notify", { text: "hi" });
    const frame = await client.take();
    expect(frame).to.deep.equal({
      internal: true,
      command: "rpc",
      data: { fid: (frame.data as { fid: string }).fid, command: "ui.notify", args: { text: "hi" } },
    });
    client.send({ rpc: "_rpc", fid: frame.data?.fid, resp: { data: { seen: true } } });
    expect(await calling).to.deep.equal({ seen: true });
  });

  it("answers a callback, too", async () => {
    const answered = new Promise<unknown[]>((resolve) => {
      const returned = application.tokenServer.rpc(socket, "f", 1, (...given) => resolve(given));
      expect(returned).to.equal(undefined);
    });
    await answer({ data: 5 });
    expect(await answered).to.deep.equal([null, 5]);
  });

  it("gives errors to a callback, too, with options last", async () => {
    const answered = new Promise<unknown[]>((resolve) => {
      application.tokenServer.rpc(socket, "f", 1, (...given) => resolve(given), { timeout: 5 });
    });
    const [error] = (await answered) as [Error];
    expect(error).to.include({ name: "TimeoutError", code: "timeout" });
  });

  it("resolves without a value for an empty answer", async () => {
    const calling = application.tokenServer.rpc(socket, "f");
    await answer({});
    expect(await calling).to.equal(undefined);
  });

  for (const [what, error, expected] of [
    ["a string", "no", { message: "no", data: "no" }],
    [
      "an object with a message",
      { message: "no", code: 7 },
      { message: "no", code: 7, data: { message: "no", code: 7 } },
    ],
    ["an object with data", { message: "no", data: [1] }, { message: "no", data: [1] }],
    ["another value", [1], { message: "The call failed", data: [1] }],
    ["false", false, { message: "The call failed", data: false }],
    ["an empty string", "", { message: "", data: "" }],
  ] as const) {
    it(`rejects with a RemoteError where the client answers with ${what} as error`, async () => {
      const calling = application.tokenServer.rpc(socket, "f");
      const rejected = rejection(calling);
      await answer({ error });
      const { name, message, code, data } = await rejected;
      expect({ name, message, data, ...(code === undefined ? {} : { code }) }).to.deep.equal({
        name: "RemoteError",
        ...expected,
      });
    });
  }

  it("rejects after its time-out", async () => {
    expect(await rejection(application.tokenServer.rpc(socket, "f", 1, { timeout: 5 }))).to.include({
      name: "TimeoutError",
      code: "timeout",
    });
  });

  it("takes its options also behind a callback that is absent", async () => {
    const calling = application.tokenServer.rpc(socket, "f", 1, undefined, { timeout: 5 });
    expect((await rejection(calling)).name).to.equal("TimeoutError");
  });

  it("rejects at once when the application closes the socket, also between two polls", async () => {
    const polling = await application.connect("xhr-polling");
    const closing = application.socket();
    const rejected = rejection(application.tokenServer.rpc(closing, "f"));
    await polling.takeCall();
    closing.close(4100, "enough");
    expect((await rejected).name).to.equal("DisconnectedError");
    expect(application.tokenServer.sockets()).to.deep.equal([socket]);
    expect((await polling.closed).code).to.equal(4100);
  });

  it("times out after 30 seconds by default", async () => {
    const clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const rejected = rejection(application.tokenServer.rpc(socket, "f"));
      await client.takeCall();
      clock.tick(29_999);
      let settled = false;
      void rejected.then(() => {
        settled = true;
      });
      await new Promise((resolve) => setImmediate(resolve));
      expect(settled).to.equal(false);
      clock.tick(1);
      expect((await rejected).name).to.equal("TimeoutError");
    } finally {
      clock.restore();
    }
  });

  it("rejects when its signal fires, also before it was sent", async () => {
    const controller = new AbortController();
    const rejected = rejection(application.tokenServer.rpc(socket, "f", 1, { signal: controller.signal }));
    await client.takeCall();
    controller.abort(new Error("enough"));
    expect(await rejected).to.include({ name: "AbortedError", code: "aborted" });
    const late = rejection(application.tokenServer.rpc(socket, "f", 1, { signal: controller.signal }));
    expect((await late).name).to.equal("AbortedError");
    await client.request({ rpc: "nope" });
    expect(client.frames).to.deep.equal([]);
  });

  it("rejects at once when the socket closes, from either side", async () => {
    const first = rejection(application.tokenServer.rpc(socket, "f"));
    await client.takeCall();
    await client.end();
    expect(await first).to.include({ name: "DisconnectedError", code: "disconnected" });
    expect((await rejection(application.tokenServer.rpc(socket, "f"))).name).to.equal("DisconnectedError");

    const other = await application.connect();
    const second = rejection(application.tokenServer.rpc(application.socket(), "f"));
    await other.takeCall();
    void application.tokenServer.shutdown();
    expect((await second).name).to.equal("DisconnectedError");
  });

  it("rejects for a socket that has not authenticated, and sends nothing", async () => {
    const pending = await application.open();
    const error = await rejection(application.tokenServer.rpc(application.socket(), "f"));
    expect(error).to.include({ name: "UnauthorizedError", code: "unauthorized" });
    expect(pending.frames).to.deep.equal([]);
  });

  it("rejects arguments, commands and time-outs that are none", async () => {
    const { tokenServer } = application;
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    for (const wrong of [
      tokenServer.rpc(socket, "f", cycle),
      tokenServer.rpc(socket, "f", 1n),
      tokenServer.rpc(socket, ""),
      tokenServer.rpc(socket, 5 as unknown as string),
      tokenServer.rpc(socket, "f", 1, { timeout: 0 }),
      tokenServer.rpc(socket, "f", 1, { timeout: Number.NaN }),
      tokenServer.rpc(socket, "f", 1, { signal: {} as AbortSignal }),
      tokenServer.rpc(socket, "f", () => {}),
      tokenServer.rpc(socket, "f", Symbol("x")),
    ]) {
      expect(await rejection(wrong)).to.be.instanceOf(TypeError);
    }
    expect((await rejection(tokenServer.rpc({} as never, "f"))).name).to.equal("DisconnectedError");
  });

  it("is answered by the socket that was called alone, once, and by no other id", async () => {
    const other = await application.connect();
    const calling = application.tokenServer.rpc(socket, "f");
    const { fid } = await client.takeCall();
    other.send({ rpc: "_rpc", fid, resp: { data: "foreign" } });
    await other.request({ rpc: "nope" });
    // nor do ids that are other texts of the same number
    for (const unknown of [`${fid}x`, ` ${fid}`, `0${fid}`, `${fid}.0`]) {
      client.send({ rpc: "_rpc", fid: unknown, resp: { data: "unknown" } });
    }
    client.send({ rpc: "_rpc", fid, resp: { data: "first" } });
    client.send({ rpc: "_rpc", fid, resp: { data: "second" } });
    expect(await calling).to.equal("first");
    await client.request({ rpc: "nope" });
    expect([...client.frames, ...other.frames]).to.deep.equal([]);
  });

  it("may be one of a thousand that are answered in any order", async () => {
    const calls = Array.from({ length: 1000 }, (_, i) => application.tokenServer.rpc(socket, "f", i));
    const received = [];
    for (let i = 0; i < calls.length; i++) received.push(await client.takeCall());
    for (const { fid, args } of received.reverse()) client.send({ rpc: "_rpc", fid, resp: { data: args } });
    expect(await Promise.all(calls)).to.deep.equal(calls.map((_, i) => i));
  });

  it("that nobody waits for is no unhandled rejection when it fails", async () => {
    const unhandled = sinon.spy();
    process.on("unhandledRejection", unhandled);
    try {
      void application.tokenServer.rpc(socket, "f");
      await client.takeCall();
      await client.end();
      await new Promise((resolve) => setImmediate(resolve));
      expect(unhandled.called).to.equal(false);
    } finally {
      process.off("unhandledRejection", unhandled);
    }
  });

  it("survives a callback that throws", async () => {
    const thrown = once(application.tokenServer, "error");
    application.tokenServer.rpc(socket, "f", 1, () => {
      throw new Error("careless");
    });
    await answer({});
    expect(((await thrown) as [Error])[0].message).to.equal("careless");
  });
});
