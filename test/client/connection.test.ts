import { expect } from "chai";
import { type SinonFakeTimers, stub, useFakeTimers } from "sinon";
import {
  ConnectionError,
  DisconnectedError,
  type State,
  TokenSocket,
  type TokenSocketOptions,
} from "../../lib/client/index.js";
import { failure } from "./support.js";

type Frame = Record<string, unknown>;

/** A server that a client reaches without a network, so that all its time is that of a clock that a test sets. */
class World {
  /** Each token request's URL, and each frame, in order. */
  readonly requests: string[] = [];
  readonly frames: Frame[] = [];
  readonly sockets: Line[] = [];
  /** The transports that were tried. */
  readonly tried: string[] = [];
  /** What the token route answers with first. */
  readonly answers: World["token"][] = [];
  /** What it answers with then. */
  token: { status: number; body: unknown; headers?: Record<string, string> } = {
    status: 200,
    body: { token: "t" },
  };
  /** What the reply to `auth` says of the server. */
  server: object = { protocol: 4 };
  /** Whether sockets open. */
  opens = true;
  /** Takes a frame instead of the server, where it returns true. */
  intercept: (frame: Frame, line: Line) => boolean = () => false;
  readonly errors: unknown[][] = [];
  readonly states: [state: State, reason: string | undefined][] = [];
  readonly clients: TokenSocket[] = [];

  client(options: TokenSocketOptions = {}): TokenSocket {
    const world = this;
    const through = (name: string) =>
      class extends Line {
        constructor() {
          super(world);
          world.tried.push(name);
        }
      };
    const client = new TokenSocket({
      host: "server.example",
      fetch: async (url) => {
        this.requests.push(url);
        const { status, body, headers } = this.answers.shift() ?? this.token;
        return { status, headers: new Headers(headers), json: async () => body };
      },
      WebSocket: through("websocket"),
      SockJS: through("sockjs"),
      logger: { error: (...args) => this.errors.push(args), debug() {} },
      ...options,
    });
    client.on("state", (state, _, reason) => this.states.push([state, reason?.message]));
    this.clients.push(client);
    return client;
  }

  get line(): Line {
    return this.sockets.at(-1) ?? expect.fail("Nothing has connected");
  }

  sent(rpc: string): Frame[] {
    return this.frames.filter((frame) => frame.rpc === rpc);
  }
}

/** The client's end of a connection to such a server. */
class Line {
  onopen: ((event: object) => unknown) | null = null;
  onmessage: ((event: { data: string }) => unknown) | null = null;
  onclose: ((event: { code: number; reason: string }) => unknown) | null = null;
  onerror: ((event: object) => unknown) | null = null;
  /** The codes that the client has closed it with. */
  readonly closings: unknown[] = [];
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
    world.sockets.push(this);
    if (world.opens) void this.#open();
  }

  async #open(): Promise<void> {
    // until there is a listener
    for (let turn = 0; turn < 10; turn++) await undefined;
    this.onopen?.({});
  }

  send(text: string): void {
    const frame = JSON.parse(text) as Frame;
    this.#world.frames.push(frame);
    if (this.#world.intercept(frame, this)) return;
    const { rpc, uuid } = frame;
    if (uuid) this.say({ rpc, uuid, resp: "success", ...(rpc === "auth" && { server: this.#world.server }) });
  }

  /** Sends a frame to the client. */
  say(frame: object): void {
    queueMicrotask(() => this.onmessage?.({ data: JSON.stringify(frame) }));
  }

  close(code?: number): void {
    this.closings.push(code);
    queueMicrotask(() => this.onclose?.({ code: code ?? 1005, reason: "" }));
  }

  /** Closes it from the other side. */
  cut(code = 1006, reason = ""): void {
    this.onclose?.({ code, reason });
  }
}

describe("The connection of a client", () => {
  let clock: SinonFakeTimers;
  let world: World;
  let random: ReturnType<typeof stub>;

  beforeEach(() => {
    clock = useFakeTimers({ now: 1_000_000, toFake: ["Date", "setTimeout", "clearTimeout"] });
    random = stub(Math, "random").returns(0.5);
    world = new World();
  });
  afterEach(async () => {
    for (const client of world.clients) await client.end();
    random.restore();
    const left = clock.countTimers();
    clock.restore();
    expect(left).to.equal(0);
  });

  const open = async (options?: TokenSocketOptions) => {
    const client = world.client(options);
    await client.ready();
    return client;
  };

  /** Lets time pass until something happens; says how long that was. */
  const waited = async (happens: () => unknown, most = 1e6) => {
    const begin = Date.now();
    while (!happens() && Date.now() - begin < most) await clock.tickAsync(1);
    return Date.now() - begin;
  };

  /** Cuts the connection; says how long the client waits until its next attempt. */
  const waitAfterCut = async () => {
    const { length } = world.requests;
    world.line.cut();
    return waited(() => world.requests.length > length);
  };

  it("is let in with the token, and with what the client asks for", async () => {
    await open();
    await clock.tickAsync(100_000);
    expect(world.requests).to.deep.equal(["http://server.example/socket/token"]);
    expect(world.sent("auth")).to.deep.equal([
      { rpc: "auth", token: "t", protocol: 4, limits: true, history: true, identity: "0.5", uuid: 1 },
    ]);
  });

  it("has a key of its own for the hash of its identity, which stays the same", async () => {
    const first = await open();
    random.returns(0.25);
    await open();
    random.returns(0.75);
    await first.reauthenticate();
    expect(world.sent("auth").map(({ identity }) => identity)).to.deep.equal(["0.5", "0.25", "0.5"]);
  });

  describe("that pings", () => {
    it("does so every 25 seconds, counted from the answer", async () => {
      await open();
      world.intercept = ({ rpc, uuid }, line) => {
        if (rpc === "_ping") setTimeout(() => line.say({ rpc, uuid, resp: "success" }), 1000);
        return rpc === "_ping";
      };
      const pings = () => world.sent("_ping").length;
      for (const [time, count] of [
        [24_999, 0],
        [1, 1],
        [25_999, 1],
        [1, 2],
      ] as const) {
        await clock.tickAsync(time);
        expect(pings()).to.equal(count);
      }
      await clock.tickAsync(1000);
      expect(world.states).to.deep.equal([["open", undefined]]);
    });

    it("is lost where there is no answer in ten seconds, and then pings no more", async () => {
      await open({ backoff: { min: 1e6, max: 1e6 } });
      world.intercept = ({ rpc }) => rpc === "_ping";
      await clock.tickAsync(25_000 + 9_999);
      expect(world.states).to.have.length(1);
      await clock.tickAsync(1);
      expect(world.states.slice(1)).to.deep.equal([["waiting", "No answer"]]);
      await clock.tickAsync(100_000);
      expect(world.sent("_ping")).to.have.length(1);
    });

    it("is not lost where something else has come meanwhile, until that is so no more", async () => {
      await open({ ping: 1000, pingTimeout: 100 });
      world.intercept = ({ rpc }) => rpc === "_ping";
      await clock.tickAsync(1000);
      world.line.say({ channel: "room", message: 1 });
      await clock.tickAsync(100);
      expect(world.states).to.have.length(1);
      await clock.tickAsync(1099);
      expect(world.states).to.have.length(1);
      await clock.tickAsync(1);
      expect(world.states.slice(1)).to.deep.equal([["waiting", "No answer"]]);
    });

    it("does not where that is turned off", async () => {
      await open({ ping: false });
      await clock.tickAsync(1e6);
      expect(world.sent("_ping")).to.deep.equal([]);
    });
  });

  describe("whose identity expires", () => {
    it("presents another token in the last third of its time, and again and again", async () => {
      world.server = { protocol: 4, expiresIn: 100_000 };
      random.returns(0);
      await open({ ping: false });
      const presented = () => world.sent("auth").length;
      await clock.tickAsync(69_999);
      expect(presented()).to.equal(1);
      random.returns(0.5);
      await clock.tickAsync(1);
      expect(presented()).to.equal(2);
      await clock.tickAsync(79_999);
      expect(presented()).to.equal(2);
      await clock.tickAsync(1);
      expect(presented()).to.equal(3);
      expect(world.requests).to.have.length(3);
    });

    it("tries again and again in the time that is left, but not more often than it would connect", async () => {
      world.server = { protocol: 4, expiresIn: 100_000 };
      random.returns(0);
      await open({ ping: false, backoff: { min: 1000 } });
      world.token = { status: 500, body: {} };
      const times: number[] = [];
      for (let i = 1; i < 6; i++) times.push(await waited(() => world.requests.length > i));
      expect(times.map((time) => Math.round(time / 10) * 10)).to.deep.equal([
        70_000, 21_000, 6300, 1890, 1000,
      ]);
      // the server closes it then
      await clock.tickAsync(1e6);
      expect(world.requests).to.have.length(6);
      expect(world.states).to.deep.equal([["open", undefined]]);
    });

    it("does nothing where the server does not say when, or its connection is lost", async () => {
      for (const expiresIn of [undefined, 0, "soon", -1]) {
        world.server = { protocol: 4, expiresIn };
        await open({ ping: false });
        await clock.tickAsync(1e6);
      }
      world.server = { protocol: 4, expiresIn: 100_000 };
      await open({ ping: false, reconnect: false });
      world.line.cut();
      await clock.tickAsync(1e6);
      expect(world.requests).to.have.length(5);
    });
  });

  describe("that was lost", () => {
    it("waits longer and longer, up to the longest time", async () => {
      const client = await open({ backoff: { max: 3000 } });
      random.returns(1);
      world.opens = false;
      world.token = { status: 500, body: { error: "Broken" } };
      expect(await waitAfterCut()).to.equal(500);
      const waits: number[] = [];
      for (let i = 2; i < 6; i++) waits.push(await waited(() => world.requests.length > i));
      expect(waits).to.deep.equal([1000, 2000, 3000, 3000]);
      expect(client.reason)
        .to.be.instanceOf(ConnectionError)
        .with.include({ message: "Broken", status: 500 });
    });

    it("begins with short waits again where it has lasted for five seconds", async () => {
      const client = await open();
      random.returns(1);
      const waits: number[] = [];
      for (const time of [4999, 4999, 5000, 0, 5000]) {
        await client.ready();
        await clock.tickAsync(time);
        waits.push(await waitAfterCut());
      }
      expect(waits).to.deep.equal([500, 1000, 500, 1000, 500]);
    });

    it("does not count what failed before it was open as a short one", async () => {
      await open();
      random.returns(1);
      await clock.tickAsync(5000);
      world.token = { status: 500, body: {} };
      expect(await waitAfterCut()).to.equal(500);
      await clock.tickAsync(1000);
      world.token = { status: 200, body: { token: "t" } };
      // the time that has passed since is none of a connection
      expect(await waited(() => world.sent("auth").length > 1)).to.equal(2000);
    });

    it("waits as long as the server asks it to, and longer where it would itself", async () => {
      random.returns(1);
      world.token = { status: 503, body: {}, headers: { "Retry-After": "3" } };
      world.client();
      await clock.tickAsync(0);
      const waits: number[] = [];
      for (let i = 1; i < 5; i++) waits.push(await waited(() => world.requests.length > i));
      expect(waits).to.deep.equal([3000, 3000, 3000, 4000]);
    });

    for (const code of [4400, 4403]) {
      it(`is lost for good by the close code ${code}, and the calls with it`, async () => {
        const client = await open();
        world.intercept = ({ rpc }) => rpc === "f";
        const call = failure(client.rpc("f"));
        await clock.tickAsync(0);
        world.line.cut(code, "Not you");
        expect(world.states.at(-1)).to.deep.equal(["closed", "Not you"]);
        expect(await call)
          .to.be.instanceOf(DisconnectedError)
          .with.property("sent", true);
        expect((await call).cause).to.equal(client.reason);
        expect(await failure(client.rpc("f"))).to.equal(client.reason);
        await clock.tickAsync(1e6);
        expect(world.requests).to.have.length(1);
      });
    }

    it("says so also where the other side gives no reason", async () => {
      const client = await open();
      world.line.cut(1006);
      expect(client.reason).to.include({ message: "Connection closed", status: 1006, code: "connection" });
    });
  });

  describe("that is ended", () => {
    it("is closed for good, of which the other side is told", async () => {
      const client = await open();
      await client.end();
      await client.end();
      expect(world.line.closings[0]).to.equal(1000);
      expect(world.states).to.deep.equal([
        ["open", undefined],
        ["closed", "No connection"],
      ]);
      expect(client.reason).to.be.instanceOf(DisconnectedError);
    });

    it("waits a second for the other side, and no longer", async () => {
      const client = await open();
      world.line.close = (code) => void world.line.closings.push(code);
      let isEnded = false;
      void client.end().then(() => {
        isEnded = true;
      });
      await clock.tickAsync(999);
      expect(isEnded).to.equal(false);
      await clock.tickAsync(1);
      expect(isEnded).to.equal(true);
    });

    it("is closed otherwise where it comes back", async () => {
      await open({ ping: 1000, pingTimeout: 100 });
      const { line } = world;
      world.intercept = ({ rpc }) => rpc === "_ping";
      await clock.tickAsync(1100);
      expect(line.closings[0]).to.equal(undefined);
      expect(line.closings).to.not.have.length(0);
    });
  });

  describe("by one of several transports", () => {
    it("is given five seconds to open by WebSocket, and ten by SockJS", async () => {
      world.opens = false;
      random.returns(1);
      const client = world.client();
      await clock.tickAsync(4999);
      expect(world.tried).to.deep.equal(["websocket"]);
      await clock.tickAsync(1);
      expect(world.tried).to.deep.equal(["websocket", "sockjs"]);
      await clock.tickAsync(9999);
      expect(client.state).to.equal("connecting");
      await clock.tickAsync(1);
      expect(client.state).to.equal("waiting");
      expect(client.reason?.message).to.equal(
        "websocket: websocket took over 5000 ms; sockjs: sockjs took over 10000 ms",
      );
      expect(world.errors).to.deep.equal([]);
    });

    it("is another one the next time where nothing answers, but not where the other side closes", async () => {
      for (const [isClosed, next] of [
        [true, "websocket"],
        [false, "sockjs"],
      ] as const) {
        world.tried.length = 0;
        world.intercept = ({ rpc }, line) => {
          if (rpc === "auth" && isClosed) queueMicrotask(() => line.cut());
          return rpc === "auth";
        };
        const client = world.client();
        await waited(() => client.state === "waiting", 20_000);
        world.intercept = () => false;
        await waited(() => client.state === "open", 20_000);
        expect(world.tried).to.deep.equal(["websocket", next]);
      }
    });

    it("is none for good where none can be had, which is logged", async () => {
      const client = world.client({ WebSocket: false, sockjs: false });
      const error = await failure(client.ready());
      expect(error).to.include({ code: "no_transport", message: "No transport is on" });
      expect(world.errors).to.deep.equal([["Cannot connect", error]]);
      await clock.tickAsync(1e6);
      expect(world.requests).to.have.length(1);
    });
  });

  describe("that is to have another identity", () => {
    it("stays as it is where the user before was refused, and only then the next one let in", async () => {
      const client = await open();
      world.answers.push({ status: 403, body: { error: "Logged out" } });
      world.token = { status: 200, body: { token: "another" } };
      const before = failure(client.reauthenticate());
      const after = client.reauthenticate();
      expect(await before).to.have.property("message", "Logged out");
      await after;
      expect(world.sent("auth").map(({ token }) => token)).to.deep.equal(["t", "another"]);
      expect([world.states, world.sockets.length]).to.deep.equal([[["open", undefined]], 1]);
    });

    it("is closed where it is refused, and opened again by the next login alone", async () => {
      const client = await open({ authentication: () => ({ name: "alice" }) });
      world.token = { status: 401, body: {} };
      const error = await failure(client.reauthenticate());
      expect(error).to.include({ message: "No token: 401", status: 401 });
      expect(client.reason).to.equal(error);
      // what was refused is asked for once more, since now the application says so
      world.token = { status: 200, body: { token: "t" } };
      await client.reauthenticate();
      expect(client.state).to.equal("open");
    });

    it("stays as it is where a token cannot be had, and is lost where the server does not answer", async () => {
      const client = await open();
      world.token = { status: 500, body: { error: "Broken" } };
      expect(await failure(client.reauthenticate())).to.have.property("message", "Broken");
      expect(client.state).to.equal("open");
      world.token = { status: 200, body: { token: "t" } };
      world.intercept = ({ rpc }) => rpc === "auth";
      const again = client.reauthenticate();
      await clock.tickAsync(9999);
      expect(client.state).to.equal("open");
      await clock.tickAsync(1);
      expect(client.reason).to.have.property("code", "timeout");
      world.intercept = () => false;
      await clock.tickAsync(1000);
      await again;
      expect(world.sent("auth")).to.have.length(3);
    });

    it("is opened at once where it waits for its next attempt", async () => {
      const client = await open();
      const { length } = world.requests;
      world.line.cut();
      expect(client.state).to.equal("waiting");
      await client.reauthenticate();
      expect(client.state).to.equal("open");
      await clock.tickAsync(1e6);
      expect(world.requests).to.have.length(length + 1);
    });
  });

  describe("whose token does not come", () => {
    it("is given up for then after ten seconds, whatever should give the token", async () => {
      const never = () => new Promise<never>(() => {});
      for (const [options, message] of [
        [{ fetch: never }, "token took over 10000 ms"],
        [{ token: never }, "token took over 10000 ms"],
        [{ authentication: never }, "authentication took over 10000 ms"],
      ] as const) {
        const client = world.client(options);
        await clock.tickAsync(9999);
        expect(client.state).to.equal("connecting");
        await clock.tickAsync(1);
        expect([client.state, client.reason?.message]).to.deep.equal(["waiting", message]);
      }
    });

    it("says what it has got instead", async () => {
      for (const [options, message, cause] of [
        [{ token: (() => 5) as never }, "token must be: string", undefined],
        [{ token: () => Promise.reject("late") }, "No connection", "late"],
        [
          {
            authentication: () => {
              throw undefined;
            },
          },
          "No connection",
          undefined,
        ],
      ] as const) {
        const client = world.client(options);
        await clock.tickAsync(0);
        expect(client.state).to.equal("waiting");
        expect(client.reason).to.deep.include({ message });
        expect(client.reason?.cause).to.equal(cause);
      }
    });

    it("is asked for once more by a function alone, where it was refused", async () => {
      world.token = { status: 403, body: { error: "Who?" } };
      const fixed = world.client({ authentication: { name: "alice" } });
      let calls = 0;
      const asked = world.client({ authentication: () => ({ name: ++calls < 2 ? "alice" : "bob" }) });
      await clock.tickAsync(0);
      expect([fixed.state, fixed.reason?.message]).to.deep.equal(["closed", "Who?"]);
      expect([asked.state, asked.reason?.message]).to.deep.equal(["waiting", "Who?"]);
      await clock.tickAsync(500);
      expect(asked.state).to.equal("waiting");
      await clock.tickAsync(1000);
      // the same data are not sent to be refused again
      expect([asked.state, asked.reason?.message]).to.deep.equal(["closed", "Forbidden"]);
      expect(world.requests.map((url) => url.split("=")[1])).to.deep.equal(["alice", "alice", "bob"]);
    });
  });
});
