import { once } from "node:events";
import { expect } from "chai";
import sinon from "sinon";
import { WebSocket } from "ws";
import {
  CallError,
  type Limits,
  procedure,
  RpcError,
  type StandardSchema,
  type TokenSocketServerOptions,
} from "../../lib/index.js";
import { Application } from "../support/application.js";
import { reported } from "../support/condition.js";
import { askForToken } from "../support/http-request.js";
import type { WireClient } from "../support/wire-client.js";

const BUSY = { message: "Too many requests", code: "busy", retryAfter: 1000 };
const UNAVAILABLE = { message: "Service unavailable", code: "unavailable", retryAfter: 5000 };
const TIMED_OUT = { message: "No answer in time", code: "timeout" };

/** A schema that validates by a function. */
function schemaOf(validate: StandardSchema["~standard"]["validate"]): StandardSchema {
  return { "~standard": { version: 1, vendor: "test", validate } };
}

describe("A limit", function () {
  // less than the defaults, at which what is not limited would end as well
  this.timeout(8_000);

  let application: Application;
  let client: WireClient;

  const start = async (limits: Partial<Limits>, options: TokenSocketServerOptions = {}) => {
    application = await Application.start({ options: { limits, ...options } });
    client = await application.connect("websocket", { protocol: 4 });
  };
  afterEach(() => application.stop());

  describe("callsInFlight", () => {
    it("refuses further calls of a client, until some are answered", async () => {
      const answers: ((value: string) => void)[] = [];
      const wait = () => new Promise((resolve) => answers.push(resolve));
      await start({ callsInFlight: 2 }, { socketController: { wait, now: () => 1 } });
      client.send({ rpc: "wait", uuid: "a" });
      client.send({ rpc: "wait", uuid: "b" });
      expect(await client.request({ rpc: "now" })).to.have.deep.property("error", BUSY);
      expect(await client.request({ rpc: "nowhere" })).to.have.deep.property("error", BUSY);
      answers[0]?.("done");
      expect(await client.take()).to.deep.equal({ rpc: "wait", uuid: "a", resp: "done" });
      expect(await client.request({ rpc: "now" })).to.have.property("resp", 1);
    });

    it("counts streams as long as they are open, and calls while guards decide", async () => {
      const stream = async function* () {
        yield 1;
      };
      await start({ callsInFlight: 1 }, { socketController: { stream, now: () => 1 } });
      expect(await client.request({ rpc: "stream", uuid: "s" })).to.have.property("stream", true);
      expect(await client.request({ rpc: "now" })).to.have.deep.property("error", BUSY);
      client.send({ rpc: "_cancel", req: { uuid: "s" } });
      await client.take();
      let decide = (_allowed: boolean) => {};
      application.tokenServer.once("rpc", (_socket) => new Promise((resolve) => (decide = resolve)));
      client.send({ rpc: "now", uuid: "d" });
      expect(await client.request({ rpc: "now" })).to.have.deep.property("error", BUSY);
      decide(true);
      expect(await client.take()).to.have.property("resp", 1);
    });

    it("refuses further calls of the server to one client, and to that alone", async () => {
      await start({ callsInFlight: 1 });
      const other = await application.connect();
      const [first, second] = application.tokenServer.sockets();
      if (!first || !second) throw new Error("there are two sockets");
      const call = application.tokenServer.rpc(first, "a");
      const error = await application.tokenServer.rpc(first, "b").catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(CallError).with.property("code", "busy");
      const elsewhere = application.tokenServer.rpc(second, "c");
      other.send({ rpc: "_rpc", fid: (await other.takeCall()).fid, resp: { data: 3 } });
      expect(await elsewhere).to.equal(3);
      client.send({ rpc: "_rpc", fid: (await client.takeCall()).fid, resp: { data: 1 } });
      expect(await call).to.equal(1);
    });
  });

  describe("callBytes", () => {
    for (const kind of ["call", "stream"]) {
      it(`refuses a ${kind} more than fits, and lets as many in again when they have ended`, async () => {
        const answers: (() => void)[] = [];
        const wait = () => new Promise<number>((resolve) => answers.push(() => resolve(1)));
        const stream = async function* () {
          yield 1;
        };
        await start({ callBytes: 1000 }, { socketController: { call: wait, stream, now: () => 1 } });
        const req = "x".repeat(350);
        for (let round = 0; round < 3; round++) {
          // what is answered at once takes and gives nothing
          expect(await client.request({ rpc: "now", req })).to.have.property("resp", 1);
          for (const uuid of ["a", "b"]) client.send({ rpc: kind, req, uuid });
          expect(await client.request({ rpc: "now", req })).to.have.deep.property("error", BUSY);
          if (kind === "stream") {
            for (const uuid of ["a", "b"]) expect(await client.take()).to.include({ uuid, stream: true });
            for (const uuid of ["a", "b"]) {
              client.send({ rpc: "_cancel", req: { uuid } });
              expect(await client.take()).to.have.nested.property("error.code", "aborted");
            }
          } else {
            for (const answer of answers.splice(0)) answer();
            for (const uuid of ["a", "b"]) expect(await client.take()).to.include({ uuid, resp: 1 });
          }
        }
      });
    }
  });

  describe("channelsPerSocket", () => {
    it("refuses further channels, also those that are asked for at once", async () => {
      await start({ channelsPerSocket: 2 });
      const replies = await Promise.all(
        ["a", "b", "c", "d"].map((channel) => client.request({ rpc: "_subscribe", req: { channel } })),
      );
      expect(replies.map(({ error }) => (error as { code?: string } | undefined)?.code)).to.deep.equal([
        undefined,
        undefined,
        "too_many_channels",
        "too_many_channels",
      ]);
      // one that it is in may be joined again, and one that is left makes room
      expect(await client.request({ rpc: "_subscribe", req: { channel: "a" } })).to.have.property("resp");
      await client.request({ rpc: "_unsubscribe", req: { channel: "a" } });
      expect(await client.request({ rpc: "_subscribe", req: { channel: "c" } })).to.have.property("resp");
      expect(await client.request({ rpc: "_subscribe", req: { channel: "d" } })).to.have.property("error");
    });

    it("counts channels that the server has let the socket join, too", async () => {
      await start({ channelsPerSocket: 2 });
      for (const channel of ["a", "b"])
        await application.tokenServer.subscribe(application.socket(), channel);
      const refused = await client.request({ rpc: "_subscribe", req: { channel: "c" } });
      expect(refused).to.have.nested.property("error.code", "too_many_channels");
    });

    it("holds for neither other sockets nor the server's own doing", async () => {
      await start({ channelsPerSocket: 1 });
      await client.subscribe("a");
      await application.tokenServer.subscribe(application.socket(), "b");
      expect(Object.keys(application.socket().channels)).to.have.members(["a", "b"]);
      const other = await application.connect();
      await other.subscribe("c");
    });
  });

  describe("connectionsPerIdentity", () => {
    it("closes a further connection of one user, and of nobody else", async () => {
      application = await Application.start({
        options: {
          limits: { connectionsPerIdentity: 2 },
          authentication: async (req) => ({ name: req.query.user }),
          identify: ({ name }) => String(name),
        },
      });
      const connect = async (user: string) => {
        const token = await application.token(`?user=${user}`);
        const socket = await application.open();
        socket.send({ rpc: "auth", token, uuid: "a", protocol: 4 });
        return socket;
      };
      const [first, second] = [await connect("alice"), await connect("alice")];
      for (const socket of [first, second]) expect(await socket.take()).to.have.property("resp", "success");
      const third = await connect("alice");
      expect(await third.closed).to.deep.equal({ code: 4430, reason: "Too many connections" });
      expect(third.frames).to.deep.equal([]);
      expect(await (await connect("bob")).take()).to.have.property("resp", "success");
      // another token on a live connection is no further connection
      first.send({ rpc: "auth", token: await application.token("?user=alice"), uuid: "b", protocol: 4 });
      expect(await first.take()).to.include({ uuid: "b", resp: "success" });
      const gone = new Promise((resolve) => application.tokenServer.once("disconnect", resolve));
      await second.end();
      await gone;
      expect(await (await connect("alice")).take()).to.have.property("resp", "success");
    });
  });

  describe("connectionsPerIdentity, of a connection that closes too early", () => {
    for (const what of ["verifyToken", "a guard"]) {
      it(`keeps no place where ${what} still decides`, async () => {
        let asked = () => {};
        let decide = () => {};
        const deciding = () => {
          asked();
          return new Promise<void>((resolve) => {
            decide = resolve;
          });
        };
        let isHeld = true;
        const verifyToken = async () => {
          if (isHeld && what === "verifyToken") await deciding();
          return { auth: { name: "alice" } };
        };
        application = await Application.start({
          options: {
            limits: { connectionsPerIdentity: 1 },
            identify: ({ name }) => String(name),
            verifyToken,
          },
        });
        const { tokenServer } = application;
        tokenServer.on("authentication", async () => {
          if (isHeld && what === "a guard") await deciding();
        });
        for (let round = 0; round < 3; round++) {
          const asking = new Promise<void>((resolve) => {
            asked = resolve;
          });
          const early = await application.open();
          early.send({ rpc: "auth", token: "jwt" });
          await asking;
          const gone = once(tokenServer, "disconnect");
          await early.end();
          await gone;
          decide();
        }
        isHeld = false;
        const late = await application.open();
        expect(await late.request({ rpc: "auth", token: "jwt" })).to.have.property("resp", "success");
        const further = await application.open();
        further.send({ rpc: "auth", token: "jwt" });
        expect(await further.closed).to.have.property("code", 4430);
      });
    }
  });

  describe("functionTimeout", () => {
    it("fires the signal of a function that takes too long, and answers its caller", async () => {
      const fired: string[] = [];
      const never = (
        _auth: unknown,
        data: unknown,
        _callback: unknown,
        _socket: unknown,
        { signal }: { signal: AbortSignal },
      ) => {
        signal.addEventListener("abort", () => fired.push(String(data)));
      };
      const routes = { hang: () => {} };
      await start({ functionTimeout: 20 }, { socketController: { never }, routes });
      expect(await client.request({ rpc: "never", req: "f" })).to.have.deep.property("error", TIMED_OUT);
      expect(fired).to.deep.equal(["f"]);
      expect(await client.request({ rpc: "hang" })).to.have.deep.property("error", TIMED_OUT);
      const old = await application.connect();
      expect(await old.request({ rpc: "never" })).to.have.property("error", "No answer in time");
    });

    it("is told of with the path of what has taken too long, and with why", async () => {
      const routes = { hang: () => {} };
      const input = schemaOf(() => new Promise<never>(() => {}));
      await start(
        { functionTimeout: 20 },
        {
          socketController: {
            a: { never: (_auth: unknown, _data: unknown, _callback: unknown) => {} },
            silent: async (_auth: unknown, _data: unknown, _callback: unknown, _socket: unknown) => {},
            checked: procedure({ input, handler: () => 1 }),
          },
          routes,
        },
      );
      const contexts = new Set<string>();
      application.tokenServer.on("error", (_error, context) => contexts.add(context));
      for (const rpc of ["a.never", "silent", "checked", "hang"]) await client.request({ rpc });
      application.tokenServer.on("rpc", (_socket, _request, _callback) => {});
      await client.request({ rpc: "guarded" });
      await reported();
      expect(application.errors.map(({ message }) => message)).to.deep.equal([
        '"a.never" has not answered in time',
        '"silent" has not answered in time: its promise gave nothing, and it has not called its callback',
        '"checked" has not answered in time',
        '"hang" has not answered in time',
        'The guards for "rpc" have not decided on "guarded" in time',
      ]);
      expect([...contexts]).to.deep.equal(["a call"]);
    });

    it("does not hold for a function that has closed the socket of its caller", async () => {
      const signals: AbortSignal[] = [];
      const leave = (
        _auth: unknown,
        _data: unknown,
        _callback: unknown,
        socket: { close(): unknown },
        { signal }: { signal: AbortSignal },
      ) => {
        signals.push(signal);
        socket.close();
      };
      const slow = () => new Promise(() => {});
      await start({ functionTimeout: 20 }, { socketController: { leave, slow } });
      const other = await application.connect();
      client.send({ rpc: "leave", uuid: "a" });
      await client.closed;
      expect(client.frames).to.deep.equal([]);
      expect(signals.map(({ aborted }) => aborted)).to.deep.equal([true]);
      // another call's end shows that the time is over
      await other.request({ rpc: "slow" });
      await reported();
      expect(application.errors.map(({ message }) => message)).to.deep.equal([
        '"slow" has not answered in time',
      ]);
    });

    it("does not hold for a stream that has begun", async () => {
      let go = () => {};
      const stream = async function* () {
        yield 1;
        await new Promise<void>((resolve) => {
          go = resolve;
        });
        yield 2;
      };
      const slow = () => new Promise(() => {});
      await start({ functionTimeout: 20 }, { socketController: { stream, slow } });
      await client.request({ rpc: "stream", uuid: "s" });
      client.send({ rpc: "_credit", req: { uuid: "s", items: 5 } });
      expect(await client.take()).to.deep.equal({ stream: "s", item: 1 });
      // another call's end shows that the time is over
      expect(await client.request({ rpc: "slow" })).to.have.deep.property("error", TIMED_OUT);
      go();
      expect(await client.take()).to.deep.equal({ stream: "s", item: 2 });
      expect(await client.take()).to.deep.equal({ stream: "s", end: true });
    });
  });

  describe("guardTimeout", () => {
    for (const [event, frame] of Object.entries({
      rpc: { rpc: "now" },
      subscribe: { rpc: "_subscribe", req: { channel: "a" } },
      publish: { rpc: "_publish", req: { channel: "a", data: 1 } },
      broadcast: { rpc: "_broadcast", req: { data: 1 } },
    })) {
      it(`refuses a request for which a ${event} guard does not answer, and says so in the log`, async () => {
        await start({ guardTimeout: 20 }, { socketController: { now: () => 1 } });
        application.tokenServer.once(event as "rpc", (_socket, _request, _callback) => {});
        expect(await client.request(frame)).to.have.deep.property("error", TIMED_OUT);
        await reported();
        expect(application.errors.map(({ message }) => message)).to.deep.equal([
          `A guard for "${event}" has not answered in time`,
        ]);
        // what comes next is not held up
        expect(await client.request(frame)).to.have.property("resp");
      });
    }

    it("says so of a guard that declares the callback and answers by what it returns", async () => {
      await start({ guardTimeout: 20 });
      application.tokenServer.on("publish", async (_socket, _request, _callback) => true);
      const frame = { rpc: "_publish", req: { channel: "a", data: 1 } };
      expect(await client.request(frame)).to.have.deep.property("error", TIMED_OUT);
      await reported();
      expect(application.errors.map(({ message }) => message)).to.deep.equal([
        'A guard for "publish" has not answered in time: its promise has ended, and it has not called the callback that it declares',
      ]);
    });

    it("refuses a message for which its channel's schema does not answer, and goes on with the next", async () => {
      const validate = (value: unknown) => (value === "slow" ? new Promise<never>(() => {}) : { value });
      const room = { "~standard": { version: 1, vendor: "test", validate } } as const;
      await start({ guardTimeout: 20 }, { channels: { room } });
      const publish = (data: string) => client.request({ rpc: "_publish", req: { channel: "room", data } });
      const reports: unknown[] = [];
      application.tokenServer.on("error", ({ message }, context) => reports.push([context, message]));
      expect(await publish("slow")).to.have.deep.property("error", TIMED_OUT);
      await reported();
      expect(reports).to.deep.equal([["channels", 'The schema of "room" has not answered in time']]);
      expect(await publish("fast")).to.have.property("resp", "success");
    });

    it("takes no answer that comes later", async () => {
      await start({ guardTimeout: 20 }, { socketController: { now: () => 1 } });
      let answer = (_error: unknown, _allowed: boolean) => {};
      application.tokenServer.once("rpc", (_socket, _request, callback) => {
        answer = callback;
      });
      expect(await client.request({ rpc: "now", uuid: "a" })).to.have.deep.property("error", TIMED_OUT);
      answer(null, true);
      await client.request({ rpc: "now" });
      expect(client.frames).to.deep.equal([]);
    });
  });

  describe("authenticationTimeout", () => {
    it("answers a token request with 503 where the function takes too long", async () => {
      await start({ authenticationTimeout: 20 });
      application.tokenServer.authentication = (_req, _callback) => {};
      const response = await fetch(`${application.url}/socket/token`);
      expect(response.status).to.equal(503);
      expect(response.headers.get("retry-after")).to.equal("5");
      expect(await response.json()).to.deep.equal({ error: "No answer in time" });
    });

    it("leaves no timer for a function that has answered, at once or later", async () => {
      await start({ authenticationTimeout: 60_000 });
      const clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      try {
        // of a session's property, which is there at once
        await askForToken(application.url);
        const before = clock.countTimers();
        for (const authentication of [
          async () => {
            await reported();
            return { id: 1 };
          },
          (_req: unknown, callback: (error: null, auth: object) => void) => callback(null, { id: 1 }),
        ]) {
          application.tokenServer.authentication = authentication as never;
          expect((await askForToken(application.url)).status).to.equal(200);
          expect(clock.countTimers()).to.equal(before);
        }
      } finally {
        clock.restore();
      }
    });

    it("closes a connection that guards do not decide on, in a way that lets it come back", async () => {
      await start({ authenticationTimeout: 20 });
      application.tokenServer.once("authentication", (_socket, _auth, _callback) => {});
      const token = await application.token();
      const late = await application.open();
      late.send({ rpc: "auth", token, uuid: "a" });
      expect(await late.closed).to.deep.equal({ code: 4503, reason: "Authentication unavailable" });
      expect(late.frames).to.deep.equal([]);
    });

    it("closes a connection whose token verifyToken does not decide on, likewise, and leaves open one that is in", async () => {
      let hangs = false;
      const verifyToken = () => (hangs ? new Promise<never>(() => {}) : Promise.resolve({ auth: { id: 1 } }));
      await start({ authenticationTimeout: 20 }, { verifyToken });
      client.send({ rpc: "auth", token: "jwt", uuid: "a", protocol: 4 });
      expect(await client.take()).to.have.property("resp", "success");
      hangs = true;
      const late = await application.open();
      late.send({ rpc: "auth", token: "jwt", uuid: "b" });
      expect(await late.closed).to.deep.equal({ code: 4503, reason: "Authentication unavailable" });
      client.send({ rpc: "auth", token: "jwt", uuid: "c", protocol: 4 });
      expect(await client.take()).to.have.deep.property("error", UNAVAILABLE);
      await reported();
      expect(application.errors.map(({ message }) => message)).to.deep.equal(
        Array(2).fill("verifyToken has not answered in time"),
      );
    });
  });

  describe("framesPerSecond and frameBurst", () => {
    it("let frames wait that come too fast, and serve all of them in order", async () => {
      await start(
        { framesPerSecond: 500, frameBurst: 5 },
        { socketController: { echo: (_a, data) => data } },
      );
      const numbers = Array.from({ length: 50 }, (_, index) => index);
      for (const number of numbers) client.send({ rpc: "echo", req: number, uuid: number });
      const answers: unknown[] = [];
      for (const _ of numbers) answers.push((await client.take()).resp);
      expect(answers).to.deep.equal(numbers);
    });

    it("close a socket whose frames wait in too great a number", async () => {
      const socketController = { echo: (_auth: unknown, data: unknown) => data };
      await start({ framesPerSecond: 1, frameBurst: 5, framesWaiting: 10 }, { socketController });
      for (let number = 0; number < 30; number++) client.send({ rpc: "echo", req: number, uuid: number });
      expect(await client.closed).to.deep.equal({ code: 4429, reason: "Too many frames" });
      expect(client.frames.map(({ resp }) => resp)).to.deep.equal([0, 1, 2, 3, 4]);
    });

    it("may be turned off", async () => {
      const socketController = { echo: (_auth: unknown, data: unknown) => data };
      await start({ framesPerSecond: Infinity, frameBurst: 1, framesWaiting: 1 }, { socketController });
      for (let number = 0; number < 3000; number++) client.send({ rpc: "echo", req: number, uuid: number });
      for (let number = 0; number < 3000; number++) expect((await client.take()).resp).to.equal(number);
    });

    it("let answers through that a guard waits for while it decides on the identity", async () => {
      await start({ framesPerSecond: 20, frameBurst: 1 });
      application.tokenServer.on("authentication", async (socket) => {
        for (let asked = 0; asked < 3; asked++) await application.tokenServer.rpc(socket, "ask");
        return true;
      });
      const asked = await application.open();
      asked.send({ rpc: "auth", token: await application.token(), uuid: "a" });
      for (let answered = 0; answered < 3; answered++) {
        const { fid } = await asked.takeCall();
        asked.send({ rpc: "_rpc", fid, resp: { data: null } });
      }
      expect(await asked.take()).to.include({ uuid: "a", resp: "success" });
    });

    it("hold for answers to the server's calls as well", async () => {
      await start({ framesPerSecond: 1, frameBurst: 2, framesWaiting: 3 });
      for (let number = 0; number < 10; number++) client.send({ rpc: "_rpc", fid: "x", resp: {} });
      expect(await client.closed).to.have.property("code", 4429);
    });
  });

  describe("bytesPerSecond and byteBurst", () => {
    const echo = { socketController: { echo: (_auth: unknown, data: unknown) => data } };

    it("let frames wait that bring too much, and serve all of them in order", async () => {
      await start({ bytesPerSecond: 100_000, byteBurst: 10_000 }, echo);
      const begin = performance.now();
      const texts = Array.from({ length: 40 }, (_, index) => `${index}${"x".repeat(1000)}`);
      for (const text of texts) client.send({ rpc: "echo", req: text });
      const answers: unknown[] = [];
      for (const _ of texts) answers.push((await client.take()).resp);
      expect(answers).to.deep.equal(texts);
      // 40 KB, of which 30 have to wait
      expect(performance.now() - begin).to.be.above(250);
    });

    it("close a socket whose frames wait with too many bytes", async () => {
      await start({ bytesPerSecond: 1, byteBurst: 1000, bytesWaiting: 5000 }, echo);
      for (let number = 0; number < 20; number++) client.send({ rpc: "echo", req: "x".repeat(900) });
      expect(await client.closed).to.deep.equal({ code: 4429, reason: "Too many frames" });
    });

    it("count what is no text, too, of sockets that have authenticated or not", async () => {
      await start({ bytesPerSecond: 1, byteBurst: 5000, bytesWaiting: 5000 });
      const nested = JSON.stringify([Array.from({ length: 450 }, () => [])]);
      const url = `${application.url.replace("http", "ws")}/sockets`;
      for (const path of ["/websocket", "/1/a/websocket"]) {
        for (const isStranger of [true, false]) {
          const socket = new WebSocket(url + path);
          await once(socket, "open");
          const auth = JSON.stringify({ rpc: "auth", token: await application.token() });
          if (!isStranger) {
            const authenticated = once(application.tokenServer, "authenticated");
            socket.send(path === "/websocket" ? auth : JSON.stringify([auth]));
            await authenticated;
          }
          const closed = once(application.tokenServer, "disconnect");
          for (let number = 0; number < 20; number++) {
            socket.send(path === "/websocket" ? Buffer.alloc(900) : nested);
          }
          await closed;
          socket.terminate();
        }
      }
    });

    it("hold for what is published, so that a reader that takes as much is not closed", async () => {
      await start({ bytesPerSecond: 50_000, byteBurst: 1000, bufferedBytes: 20_000 });
      const reader = await application.connect();
      await reader.subscribe("room");
      for (let number = 0; number < 30; number++) {
        client.send({ rpc: "_publish", req: { channel: "room", data: "x".repeat(1000) } });
      }
      for (let number = 0; number < 30; number++) expect(await reader.message("room")).to.have.length(1000);
    });

    it("may be turned off", async () => {
      await start({ bytesPerSecond: Infinity, byteBurst: 1, bytesWaiting: 1 }, echo);
      for (let number = 0; number < 100; number++) client.send({ rpc: "echo", req: "x".repeat(10_000) });
      for (let number = 0; number < 100; number++) expect((await client.take()).resp).to.have.length(10_000);
    });
  });

  it("that is turned off by Infinity is none", async () => {
    const never = () => new Promise(() => {});
    await start(
      {
        callsInFlight: Infinity,
        channelsPerSocket: Infinity,
        connectionsPerIp: Infinity,
        connectionsPerIdentity: Infinity,
        functionTimeout: Infinity,
        guardTimeout: Infinity,
        authenticationTimeout: Infinity,
        framesPerSecond: Infinity,
        frameBurst: Infinity,
        bytesPerSecond: Infinity,
        byteBurst: Infinity,
      },
      {
        authentication: async () => ({ name: "alice" }),
        socketController: {
          never,
          fail: async () => {
            throw new RpcError("no");
          },
        },
      },
    );
    application.tokenServer.on("rpc", async (_socket) => true);
    client.send({ rpc: "never" });
    expect(await client.request({ rpc: "fail" })).to.have.deep.property("error", { message: "no" });
  });
});
