import { EventEmitter, once } from "node:events";
import { expect } from "chai";
import sinon from "sinon";
import { type Callback, RpcError, type Socket } from "../../lib/index.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import type { WireClient } from "../support/wire-client.js";

/** Everything that the client sent before this has been dealt with, and what it was answered has arrived. */
const settled = (client: WireClient) => client.request({ rpc: "nope" });

const socketOf = (application: Application) => application.socket() as Socket;

/** What clients of protocol 4 see of a refusal, and of a failure. */
const FORBIDDEN = { message: "Forbidden", code: "forbidden" };
const INTERNAL = { message: "Internal error", code: "internal" };

describe("a channel", () => {
  let application: Application;
  let client: WireClient;

  afterEach(() => application.stop());

  const begin = async (options: ApplicationOptions["options"] = {}) => {
    application = await Application.start({ options });
    client = await application.connect();
  };

  describe("is decided by guards", () => {
    const requests = {
      subscribe: { rpc: "_subscribe", req: { channel: "a" }, data: { channel: "a" } },
      unsubscribe: { rpc: "_unsubscribe", req: { channel: "a" }, data: { channel: "a" } },
      publish: {
        rpc: "_publish",
        req: { channel: "a", data: { x: 1 } },
        data: { channel: "a", data: { x: 1 } },
      },
      broadcast: { rpc: "_broadcast", req: { data: { x: 1 } }, data: { data: { x: 1 } } },
    } as const;

    for (const event of ["subscribe", "unsubscribe", "publish", "broadcast"] as const) {
      const { rpc, req, data } = requests[event];

      /** Whether the client's request was carried out, by what comes back to a client of protocol 4. */
      const attempt = async (guard: (...args: never[]) => unknown) => {
        application = await Application.start();
        client = await application.connect("websocket", { protocol: 4 });
        application.tokenServer.on(event, guard as never);
        const { resp, error } = await client.request({ rpc, req });
        return resp ?? error;
      };

      describe(`for ${event}`, () => {
        it("that get the socket, the request and a callback", async () => {
          const guard = sinon.spy((_s: unknown, _d: unknown, callback: Callback) => callback(null, true));
          expect(await attempt(guard)).to.equal("success");
          expect(guard.firstCall.args[0]).to.equal(application.socket());
          expect(guard.firstCall.args[1]).to.deep.equal(data);
        });

        it("and each of them must allow", async () => {
          application = await Application.start();
          client = await application.connect("websocket", { protocol: 4 });
          application.tokenServer.on(event, async (_socket: unknown) => true);
          application.tokenServer.once(event, (_s: unknown, _d: unknown, callback: Callback) =>
            callback(null, false),
          );
          expect(await client.request({ rpc, req })).to.have.deep.property("error", FORBIDDEN);
          expect(await client.request({ rpc, req })).to.include({ resp: "success" });
        });

        const outcomes: Record<string, { guard: (...args: never[]) => unknown; expected: unknown }> = {
          "allows by a callback": {
            guard: (_s: unknown, _d: unknown, cb: Callback) => cb(null, true),
            expected: "success",
          },
          "allows by a promise": { guard: async (_s: unknown) => 1, expected: "success" },
          "allows by a result": { guard: (_s: unknown, _d: unknown) => true, expected: "success" },
          "allows by a result without declaring anything": { guard: () => true, expected: "success" },
          "answers nothing to the callback": {
            guard: (_s: unknown, _d: unknown, cb: Callback) => cb(),
            expected: FORBIDDEN,
          },
          "answers with a promise of nothing": { guard: async (_s: unknown) => {}, expected: FORBIDDEN },
          "answers zero": { guard: (_s: unknown) => 0, expected: FORBIDDEN },
          "gives an Error": {
            guard: (_s: unknown, _d: unknown, cb: Callback) => cb(new Error("members only"), true),
            expected: { message: "members only" },
          },
          "gives a string as error": {
            guard: (_s: unknown, _d: unknown, cb: Callback) => cb("members only"),
            expected: "members only",
          },
          "throws an RpcError": {
            guard: () => {
              throw new RpcError("members only", { code: "E_MEMBERS" });
            },
            expected: { message: "members only", code: "E_MEMBERS" },
          },
          throws: {
            guard: () => {
              throw new Error("secret");
            },
            expected: INTERNAL,
          },
          rejects: { guard: async () => Promise.reject(new Error("secret")), expected: INTERNAL },
        };
        for (const [what, { guard, expected }] of Object.entries(outcomes)) {
          it(`of which one ${what}`, async () => {
            expect(await attempt(guard)).to.deep.equal(expected);
            const isReported = expected === INTERNAL;
            expect(application.errors.map(({ message }) => message)).to.deep.equal(
              isReported ? ["secret"] : [],
            );
          });
        }

        it("of which later answers change nothing, and are reported", async () => {
          const guard = (_s: unknown, _d: unknown, callback: Callback) => {
            callback(null, true);
            callback(new Error("late"));
            callback(null, false);
          };
          expect(await attempt(guard)).to.equal("success");
          expect(application.errors).to.have.length(2);
        });

        it("in the old words towards an old client", async () => {
          await begin();
          application.tokenServer.on(event, (_s: unknown, _d: unknown, callback: Callback) =>
            callback(null, false),
          );
          expect(await client.request({ rpc, req, uuid: "u" })).to.deep.equal({
            rpc,
            uuid: "u",
            error: "Forbidden",
          });
        });
      });
    }

    it("but the server's own methods are not", async () => {
      await begin();
      const { tokenServer } = application;
      for (const event of ["subscribe", "unsubscribe", "publish", "broadcast"] as const) {
        tokenServer.on(event, () => false);
      }
      await tokenServer.subscribe(socketOf(application), "a");
      await tokenServer.publish("a", 1);
      await tokenServer.broadcast(2);
      expect(await client.message("a")).to.equal(1);
      expect(await client.message("a")).to.equal(2);
      await tokenServer.unsubscribe(socketOf(application), "a");
    });

    it("that may change what is published", async () => {
      await begin();
      application.tokenServer.on("publish", (_socket, request, callback) => {
        request.data = { clean: true };
        callback(null, true);
      });
      await client.subscribe("a");
      client.send({ rpc: "_publish", req: { channel: "a", data: { dirty: true } } });
      expect(await client.message("a")).to.deep.equal({ clean: true });
    });

    it("that may leave what is no JSON, which is an error", async () => {
      await begin();
      application.tokenServer.on("publish", (_socket, request, callback) => {
        request.data = undefined;
        callback(null, true);
      });
      expect(await client.request({ rpc: "_publish", req: { channel: "a", data: 1 } })).to.include({
        error: "Internal error",
      });
    });

    it("in the order in which a client asked, however slow they are, for each channel", async () => {
      await begin({ socketController: { fast: (_auth: unknown) => "fast" } });
      const pending = new Map<string, Callback>();
      let arrived = () => {};
      application.tokenServer.on("publish", (_socket, request, callback) => {
        pending.set(`${request.channel}${request.data}`, callback);
        arrived();
      });
      const until = async (key: string) => {
        while (!pending.has(key)) {
          await new Promise<void>((resolve) => {
            arrived = resolve;
          });
        }
      };
      await client.subscribe("a");
      await client.subscribe("b");
      const publish = (channel: string, data: number) =>
        client.send({ rpc: "_publish", req: { channel, data } });
      publish("a", 1);
      publish("a", 2);
      publish("b", 1);
      await until("a1");
      await until("b1");
      expect([...pending.keys()]).to.deep.equal(["a1", "b1"]);
      // neither calls nor other channels nor other sockets wait
      expect(await client.request({ rpc: "fast" })).to.include({ resp: "fast" });
      pending.get("b1")?.(null, true);
      expect(await client.take()).to.deep.equal({ channel: "b", message: 1 });
      const other = await application.connect();
      other.send({ rpc: "_publish", req: { channel: "a", data: 9 } });
      await until("a9");
      pending.get("a9")?.(null, true);
      expect(await client.take()).to.deep.equal({ channel: "a", message: 9 });
      pending.get("a1")?.(null, true);
      await until("a2");
      pending.get("a2")?.(null, true);
      expect(await client.take()).to.deep.equal({ channel: "a", message: 1 });
      expect(await client.take()).to.deep.equal({ channel: "a", message: 2 });
    });

    it("a broadcast in its place among what is published before and after it", async () => {
      await begin();
      let release = () => {};
      const held = new Promise<boolean>((resolve) => {
        release = () => resolve(true);
      });
      application.tokenServer.on("publish", (_socket, request) => (request.data === 1 ? held : true));
      await client.subscribe("a");
      await client.subscribe("b");
      client.send({ rpc: "_publish", req: { channel: "a", data: 1 } });
      client.send({ rpc: "_broadcast", req: { data: 2 } });
      client.send({ rpc: "_publish", req: { channel: "b", data: 3 } });
      await settled(client);
      expect(client.frames).to.deep.equal([]);
      release();
      const got = [];
      for (let i = 0; i < 4; i++) got.push(await client.take());
      expect(got.map(({ channel, message }) => `${channel}${message}`)).to.deep.equal([
        "a1",
        "a2",
        "b2",
        "b3",
      ]);
    });

    const BOUNDS = [
      ["framesWaiting", { framesWaiting: 2 }, ""],
      ["bytesWaiting", { bytesWaiting: 1000 }, "x".repeat(350)],
    ] as const;

    for (const [limit, limits, data] of BOUNDS) {
      it(`refusing more than ${limit} requests that wait for them, again and again`, async () => {
        await begin({ limits });
        const waiting: Callback[] = [];
        application.tokenServer.on("subscribe", (_s, _d, callback) => void waiting.push(callback));
        for (let round = 0; round < 3; round++) {
          for (const uuid of [1, 2, 3])
            client.send({ rpc: "_subscribe", req: { channel: `c${uuid}`, data }, uuid });
          const refused = { rpc: "_subscribe", uuid: 3, error: "Too many requests" };
          expect(await client.take()).to.deep.equal(refused);
          for (const callback of waiting.splice(0)) callback(null, true);
          expect([(await client.take()).command, (await client.take()).command]).to.deep.equal([
            "subscribe",
            "subscribe",
          ]);
        }
      });

      it(`refusing more than ${limit} messages that Redis has not taken, again and again`, async () => {
        const taken: (() => void)[] = [];
        const slow = Object.assign(new EventEmitter(), {
          isOpen: true,
          isReady: true,
          ping: async () => {},
          getDel: async () => JSON.stringify({ auth: {}, host: "", ip: "", ips: [] }),
          set: async () => {},
          publish: () => new Promise<void>((resolve) => taken.push(resolve)),
          subscribe: async () => {},
          unsubscribe: async () => {},
          rPush: async () => {},
          lTrim: async () => {},
          lRem: async () => {},
          pExpire: async () => {},
          lRange: async () => [],
        });
        application = await Application.start({
          redisClient: slow,
          pubsubClient: Object.assign(new EventEmitter(), { ...slow }),
          options: { limits },
        });
        client = await application.connect("websocket", { protocol: 4 });
        for (let round = 0; round < 3; round++) {
          for (const uuid of [1, 2, 3]) client.send({ rpc: "_publish", req: { channel: "a", data }, uuid });
          expect(await client.take()).to.deep.equal({
            rpc: "_publish",
            uuid: 3,
            error: { message: "Too many requests", code: "busy", retryAfter: 1000 },
          });
          for (const take of taken.splice(0)) take();
          expect([(await client.take()).uuid, (await client.take()).uuid]).to.deep.equal([1, 2]);
        }
      });
    }

    it("that may join their own socket while they decide", async () => {
      await begin();
      application.tokenServer.on("subscribe", async (socket, request) => {
        await application.tokenServer.subscribe(socket, request.channel);
        return true;
      });
      expect((await client.subscribe("a")).command).to.equal("subscribe");
      expect(application.tokenServer.channels()).to.deep.equal(["a"]);
    });

    it("whose answer counts no more once the client has gone", async () => {
      await begin();
      const asked = new Promise<Callback>((resolve) => {
        application.tokenServer.on("subscribe", (_s, _d, callback) => resolve(callback));
      });
      client.send({ rpc: "_subscribe", req: { channel: "a" } });
      const callback = await asked;
      const gone = once(application.tokenServer, "disconnect");
      await client.end();
      await gone;
      callback(null, true);
      await new Promise((resolve) => setImmediate(resolve));
      expect(application.tokenServer.channels()).to.deep.equal([]);
      expect(application.errors).to.deep.equal([]);
    });
  });
});
