import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { expect } from "chai";
import sinon from "sinon";
import { RpcError, type Socket } from "../../lib/index.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { WIRE_TRANSPORTS } from "../support/wire-client.js";

describe("authentication", () => {
  let application: Application;

  const start = async (options: ApplicationOptions = {}) => {
    application = await Application.start(options);
    return application.tokenServer;
  };

  afterEach(() => application.stop());

  for (const transport of WIRE_TRANSPORTS) {
    describe(`over ${transport}`, () => {
      it("lets a client in that presents a token, and says so in exactly the old words", async () => {
        await start();
        const token = await application.token();
        const client = await application.open(transport);
        client.send({ rpc: "auth", token, uuid: "abcdefghij" });
        expect(await client.take()).to.deep.equal({ rpc: "auth", uuid: "abcdefghij", resp: "success" });
        expect(application.socket().auth).to.deep.equal({ name: "alice" });
      });

      it("tells a client that its token is unknown, and closes", async () => {
        await start();
        const client = await application.open(transport);
        client.send({ rpc: "auth", token: randomUUID(), uuid: 5 });
        expect(await client.take()).to.deep.equal({ rpc: "auth", uuid: 5, error: "Token not found" });
        expect(await client.closed).to.deep.equal({ code: 4401, reason: "Token not found" });
      });

      it("closes without a frame for a token of another form", async () => {
        await start();
        for (const token of ["nonsense", 5, null, {}, [randomUUID()], `x${randomUUID()}`]) {
          const client = await application.open(transport);
          client.send({ rpc: "auth", token, uuid: "a" });
          expect((await client.closed).code).to.equal(4400);
          expect(client.frames).to.deep.equal([]);
        }
      });

      it("forbids any other request that comes first, and closes", async () => {
        await start({ options: { ping: true, socketController: { echo: () => 1 } } });
        for (const frame of [
          { rpc: "echo", req: {}, uuid: "a" },
          { rpc: "_ping", uuid: "a" },
          { rpc: "_rpc", fid: "1", resp: {}, uuid: "a" },
          { rpc: "auth", uuid: "a" },
        ]) {
          const client = await application.open(transport);
          client.send(frame);
          expect(await client.take()).to.deep.equal({ rpc: frame.rpc, uuid: "a", error: "Forbidden" });
          expect((await client.closed).code).to.equal(4403);
        }
      });

      it("lets a client that sent no frame try again", async () => {
        await start();
        const client = await application.open(transport);
        client.send("no json");
        expect(await client.take()).to.deep.equal({ error: "Invalid message" });
        client.send({ rpc: "auth", token: await application.token(), uuid: "a" });
        expect(await client.take()).to.include({ resp: "success" });
      });
    });
  }

  it("works without a uuid", async () => {
    await start();
    const client = await application.open();
    client.send({ rpc: "auth", token: await application.token() });
    expect(await client.take()).to.deep.equal({ rpc: "auth", resp: "success" });
  });

  it("proves protocol 4 to a client that asks for it, and to no other", async () => {
    await start();
    const client = await application.open();
    const reply = await client.request({
      rpc: "auth",
      token: await application.token(),
      protocol: 4,
      uuid: "x",
    });
    expect(reply).to.deep.equal({ rpc: "auth", uuid: "x", resp: "success", server: { protocol: 4 } });
    for (const protocol of [3, 5, "4", null, {}]) {
      const other = await application.open();
      const token = await application.token();
      expect(await other.request({ rpc: "auth", token, protocol })).to.not.have.property("server");
    }
  });

  it("redeems each token once", async () => {
    await start();
    const token = await application.token();
    const [first, second] = [await application.open(), await application.open()];
    expect(await first.request({ rpc: "auth", token })).to.include({ resp: "success" });
    expect(await second.request({ rpc: "auth", token })).to.include({ error: "Token not found" });
  });

  it("decorates the socket", async () => {
    const server = await start();
    const before = Date.now();
    const connecting = once(server, "connection");
    const client = await application.open();
    const [pending] = (await connecting) as [Socket];
    expect(pending.sid).to.match(/^[0-9a-f-]{36}$/);
    expect(pending.created).to.be.within(before, Date.now());
    expect(Object.keys(pending.channels)).to.deep.equal([]);
    expect(pending).to.not.have.property("auth");
    await client.request({ rpc: "auth", token: await application.token() });
    expect(pending).to.include({ ip: "127.0.0.1", host: new URL(application.url).host });
    expect(pending.ips).to.deep.equal([]);
    expect(pending.auth).to.deep.equal({ name: "alice" });
    expect(server.sockets()).to.deep.equal([pending]);
  });

  describe("with guards", () => {
    const AUTH = { name: "alice" };

    it("asks them before it lets a client in, with the socket, its identity and a callback", async () => {
      const server = await start();
      const guard = sinon.spy((socket: Socket, _auth: unknown, callback: () => void) => {
        expect(socket.auth).to.deep.equal(AUTH);
        callback();
      });
      server.on("authentication", guard as never);
      const client = await application.connect();
      expect(guard.calledOnceWith(application.socket() as never, AUTH)).to.equal(true);
      await client.end();
    });

    const accepting: Record<string, (...args: never[]) => unknown> = {
      "calls back without arguments": (_s: Socket, _a: unknown, callback: () => void) => callback(),
      "calls back later": (_s: Socket, _a: unknown, callback: () => void) => setImmediate(callback),
      "calls back with null": (_s: Socket, _a: unknown, callback: (e: null) => void) => callback(null),
      "is async and gives nothing": async (_s: Socket, _a: unknown) => {},
      "is async, declares nothing and gives nothing": async () => {},
      "is async and gives true": async (_s: Socket) => true,
      "returns nothing": (_s: Socket, _a: unknown) => {},
      "has rest parameters and calls back": (...args: unknown[]) => (args[2] as () => void)(),
    };
    for (const [what, guard] of Object.entries(accepting)) {
      it(`accepts where one ${what}`, async () => {
        const server = await start();
        server.on("authentication", guard as never);
        await application.connect();
        expect(application.errors).to.deep.equal([]);
      });
    }

    const refusing: Record<string, { guard: (...args: never[]) => unknown; reported?: boolean }> = {
      "calls back with an error": {
        guard: (_s: Socket, _a: unknown, callback: (e: unknown) => void) => callback(new Error("no")),
      },
      "calls back with a string": {
        guard: (_s: Socket, _a: unknown, callback: (e: unknown) => void) => callback("no"),
      },
      "calls back with false": {
        guard: (_s: Socket, _a: unknown, callback: (e: unknown) => void) => callback(false),
      },
      "calls back with false as its result": {
        guard: (_s: Socket, _a: unknown, callback: (e: unknown, v: unknown) => void) => callback(null, false),
      },
      throws: {
        guard: (_s: Socket, _a: unknown, _c: unknown) => {
          throw new Error("broken");
        },
        reported: true,
      },
      rejects: { guard: async () => Promise.reject(new Error("broken")), reported: true },
      "rejects beside its callback": {
        guard: async (_s: Socket, _a: unknown, _c: unknown) => Promise.reject(new Error("broken")),
        reported: true,
      },
      "rejects with nothing": { guard: () => Promise.reject(undefined), reported: true },
      "throws an RpcError": {
        guard: () => {
          throw new RpcError("no");
        },
      },
      "is async and gives false": { guard: async (_s: Socket) => false },
      "gives null": { guard: (_s: Socket) => null },
      "gives zero": { guard: (_s: Socket) => 0 },
    };
    for (const [what, { guard, reported = false }] of Object.entries(refusing)) {
      it(`closes without a frame where one ${what}`, async () => {
        const server = await start();
        server.on("authentication", guard as never);
        const client = await application.open();
        client.send({ rpc: "auth", token: await application.token(), uuid: "a" });
        expect(await client.closed).to.deep.equal({ code: 4403, reason: "Forbidden" });
        expect(client.frames).to.deep.equal([]);
        expect(application.errors).to.have.length(reported ? 1 : 0);
        expect(server.sockets()).to.deep.equal([]);
      });
    }

    it("asks all, one after the other, and stops at the first refusal", async () => {
      const server = await start();
      const asked: number[] = [];
      server.on("authentication", async () => {
        asked.push(1);
      });
      server.on("authentication", (_s, _a, callback) => {
        asked.push(2);
        setImmediate(callback, new Error("no"));
      });
      server.on("authentication", async () => {
        asked.push(3);
      });
      const client = await application.open();
      client.send({ rpc: "auth", token: await application.token() });
      await client.closed;
      expect(asked).to.deep.equal([1, 2]);
    });

    it("lets one call the client and wait for its answer before it accepts", async () => {
      const server = await start();
      server.on("authentication", async (socket) => {
        expect(await server.rpc(socket, "who.are.you", { please: true })).to.equal("me");
      });
      const client = await application.open();
      client.send({ rpc: "auth", token: await application.token(), uuid: "a" });
      const { fid, command, args } = await client.takeCall();
      expect({ command, args }).to.deep.equal({ command: "who.are.you", args: { please: true } });
      expect(client.frames).to.deep.equal([]);
      client.send({ rpc: "_rpc", fid, resp: { data: "me" } });
      expect(await client.take()).to.deep.equal({ rpc: "auth", uuid: "a", resp: "success" });
    });

    it("keeps a client's other frames, in order, until it is in", async () => {
      const server = await start({
        options: { socketController: { echo: (_auth: unknown, data: unknown) => data } },
      });
      let accept = () => {};
      const asked = new Promise<void>((resolve) => {
        server.on("authentication", (_s, _a, callback) => {
          accept = callback;
          resolve();
        });
      });
      const client = await application.open();
      client.send({ rpc: "auth", token: await application.token(), uuid: 0 });
      client.send({ rpc: "echo", req: 1, uuid: 1 });
      client.send("no json");
      await asked;
      client.send({ rpc: "echo", req: 2, uuid: 2 });
      client.send({ rpc: "echo", req: 3, uuid: 3 });
      const last = once(server, "authenticated");
      // what was sent last is there when it has been echoed, so the order can only show afterwards
      accept();
      await last;
      const frames = [];
      for (let i = 0; i < 5; i++) frames.push(await client.take());
      expect(frames).to.deep.equal([
        { rpc: "auth", uuid: 0, resp: "success" },
        { rpc: "echo", uuid: 1, resp: 1 },
        { error: "Invalid message" },
        { rpc: "echo", uuid: 2, resp: 2 },
        { rpc: "echo", uuid: 3, resp: 3 },
      ]);
    });

    for (const [limit, limits] of Object.entries({
      framesWaiting: { framesWaiting: 3 },
      bytesWaiting: { bytesWaiting: 100 },
    })) {
      it(`closes a client that sends more than ${limit} meanwhile`, async () => {
        const server = await start({ options: { limits } });
        server.on("authentication", (_s, _a, _callback) => {});
        const client = await application.open();
        client.send({ rpc: "auth", token: await application.token() });
        for (let i = 0; i < 4; i++)
          client.send({ rpc: "echo", req: "some thirty characters of text", uuid: i });
        expect((await client.closed).code).to.equal(4429);
        expect(server.sockets()).to.deep.equal([]);
      });
    }

    it("serves nothing that waited where the application closes the socket as it comes in", async () => {
      const called = sinon.spy();
      const server = await start({ options: { socketController: { call: called } } });
      server.on("authentication", async (_socket) => {
        await new Promise((resolve) => setImmediate(resolve));
      });
      server.on("authenticated", (socket) => void socket.close(4100, "not you"));
      const client = await application.open();
      client.send({ rpc: "auth", token: await application.token() });
      client.send({ rpc: "call" });
      expect((await client.closed).code).to.equal(4100);
      expect(called.called).to.equal(false);
      expect(server.sockets()).to.deep.equal([]);
    });

    it("forgets a client that leaves meanwhile, whatever the guard says then", async () => {
      const server = await start();
      let accept = () => {};
      const asked = new Promise<void>((resolve) => {
        server.on("authentication", (_s, _a, callback) => {
          accept = callback;
          resolve();
        });
      });
      const authenticated = sinon.spy();
      server.on("authenticated", authenticated);
      const client = await application.open();
      client.send({ rpc: "auth", token: await application.token() });
      await asked;
      const gone = once(server, "disconnect");
      await client.end();
      await gone;
      accept();
      await new Promise((resolve) => setImmediate(resolve));
      expect(authenticated.called).to.equal(false);
      expect(server.sockets()).to.deep.equal([]);
    });
  });

  describe("a second time", () => {
    it("replaces the identity, keeps channels and serves later frames with the new one", async () => {
      let name = "first";
      const server = await start({
        options: {
          authentication: async () => ({ name }),
          socketController: { who: (auth: unknown) => auth },
        },
      });
      const client = await application.connect();
      await client.subscribe("room");
      name = "second";
      const token = await application.token();
      client.send({ rpc: "who", uuid: 1 });
      client.send({ rpc: "auth", token, uuid: 2 });
      client.send({ rpc: "who", uuid: 3 });
      expect(await client.take()).to.deep.equal({ rpc: "who", uuid: 1, resp: { name: "first" } });
      expect(await client.take()).to.deep.equal({ rpc: "auth", uuid: 2, resp: "success" });
      expect(await client.take()).to.deep.equal({ rpc: "who", uuid: 3, resp: { name: "second" } });
      await server.publish("room", 1);
      expect(await client.message("room")).to.equal(1);
    });

    it("asks the guards before the new identity replaces the old one", async () => {
      let name = "first";
      const server = await start({ options: { authentication: async () => ({ name }) } });
      const client = await application.connect();
      const seen: unknown[] = [];
      server.on("authentication", async (socket, auth) => {
        seen.push(socket.auth, auth);
      });
      name = "second";
      await client.request({ rpc: "auth", token: await application.token() });
      expect(seen).to.deep.equal([{ name: "first" }, { name: "second" }]);
      expect(application.socket().auth).to.deep.equal({ name: "second" });
    });

    it("closes where the token fails", async () => {
      await start();
      const client = await application.connect();
      expect(await client.request({ rpc: "auth", token: randomUUID() })).to.include({
        error: "Token not found",
      });
      expect((await client.closed).code).to.equal(4401);
      const other = await application.connect();
      other.send({ rpc: "auth", token: "nonsense", uuid: 1 });
      expect((await other.closed).code).to.equal(4400);
      expect(other.frames).to.deep.equal([]);
    });

    it("decides what was asked for before under the old identity, however slow the guards are", async () => {
      let name = "first";
      const server = await start({ options: { authentication: async () => ({ name }) } });
      const client = await application.connect();
      await client.subscribe("room");
      const seen: unknown[] = [];
      const held: (() => void)[] = [];
      let asked = () => {};
      server.on("publish", async (socket, { data }) => {
        const before = socket.auth.name;
        await new Promise<void>((resolve) => {
          held.push(resolve);
          asked();
        });
        seen.push([data, before, socket.auth.name]);
        return true;
      });
      const nextAsked = () =>
        new Promise<void>((resolve) => {
          asked = resolve;
        });
      name = "second";
      const token = await application.token();
      const accepted = new Promise<void>((resolve) => {
        server.on("authentication", async () => resolve());
      });
      let asking = nextAsked();
      for (const data of [1, 2]) client.send({ rpc: "_publish", req: { channel: "room", data } });
      client.send({ rpc: "auth", token, uuid: "a" });
      client.send({ rpc: "_publish", req: { channel: "room", data: 3 } });
      for (let i = 0; i < 3; i++) {
        await asking;
        // nothing but the requests keeps the new identity from coming then
        await accepted.then(() => new Promise((resolve) => setImmediate(resolve)));
        asking = nextAsked();
        held[i]?.();
      }
      expect(await client.message("room")).to.equal(1);
      expect(await client.message("room")).to.equal(2);
      expect(await client.message("room")).to.equal(3);
      expect(seen).to.deep.equal([
        [1, "first", "first"],
        [2, "first", "first"],
        [3, "second", "second"],
      ]);
      expect(await client.take()).to.include({ uuid: "a", resp: "success" });
    });

    it("can be asked for twice at once", async () => {
      let name = 0;
      await start({ options: { authentication: async () => ({ name: ++name }) } });
      const client = await application.open();
      const tokens = [await application.token(), await application.token(), await application.token()];
      for (const [uuid, token] of tokens.entries()) client.send({ rpc: "auth", token, uuid });
      for (const uuid of tokens.keys())
        expect(await client.take()).to.deep.equal({ rpc: "auth", uuid, resp: "success" });
      expect(application.socket().auth).to.deep.equal({ name: 3 });
    });
  });

  describe("in time", () => {
    it("is asked for from the start, within authTimeout", async () => {
      const server = await start({ options: { authTimeout: 50 } });
      const client = await application.open();
      const { created } = application.socket();
      expect(await client.closed).to.deep.equal({ code: 4408, reason: "Not authenticated in time" });
      expect(Date.now() - created).to.be.at.least(50);
      expect(server.sockets()).to.deep.equal([]);
    });

    it("is asked for within tokenTtl by default", async () => {
      await start({ options: { tokenTtl: 60 } });
      expect((await (await application.open()).closed).code).to.equal(4408);
    });

    it("is not asked for after the cleanup was disabled, also of connections that are open", async () => {
      const server = await start();
      const client = await application.open();
      server.enableCleanup(50);
      server.disableCleanup();
      const other = await Application.start({ options: { authTimeout: 100 } });
      try {
        // what would have been closed sooner is there when this one is gone
        await (await other.open()).closed;
      } finally {
        await other.stop();
      }
      const token = await application.token();
      expect(await client.request({ rpc: "auth", token })).to.include({ resp: "success" });
    });

    it("is asked for again when the cleanup is enabled again", async () => {
      const server = await start();
      const client = await application.open();
      server.disableCleanup();
      server.enableCleanup(20);
      expect((await client.closed).code).to.equal(4408);
    });

    it("can be asked for sooner, also of connections that are open", async () => {
      const server = await start();
      const client = await application.open();
      server.enableCleanup(20);
      expect((await client.closed).code).to.equal(4408);
    });

    it("is not asked for again once a client is in", async () => {
      const server = await start();
      const client = await application.connect();
      server.enableCleanup(40);
      const late = await application.open();
      await late.closed;
      expect(await client.request({ rpc: "nope" })).to.include({ error: "Function not found" });
      expect(server.sockets()).to.have.length(1);
    });

    it("includes the time that guards take", async () => {
      const server = await start({ options: { authTimeout: 60 } });
      server.on("authentication", (_s, _a, _callback) => {});
      const client = await application.open();
      client.send({ rpc: "auth", token: await application.token() });
      expect((await client.closed).code).to.equal(4408);
    });

    it("is asked for a second time, too, whatever the guards do", async () => {
      const server = await start();
      const client = await application.connect();
      server.enableCleanup(60);
      server.on("authentication", (_s, _a, _callback) => {});
      client.send({ rpc: "auth", token: await application.token() });
      expect((await client.closed).code).to.equal(4408);
    });

    it("takes no time that is none", async () => {
      const server = await start();
      for (const ms of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, "5"]) {
        expect(() => server.enableCleanup(ms as number)).to.throw(TypeError, "ms");
      }
    });
  });
});
