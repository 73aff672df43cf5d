import { EventEmitter } from "node:events";
import { expect } from "chai";
import fc from "fast-check";
import { createClient } from "redis";
import type { Socket } from "../../lib/index.js";
import { Application } from "../support/application.js";
import { connectNodeRedis, type NodeRedis } from "../support/node-redis.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";
import { SeverableLine } from "../support/severable-line.js";
import type { Frame, WireClient, WireTransport } from "../support/wire-client.js";

/** Another one for each run; the environment may name that of a failure, to run it again. */
const SEED = Number(process.env.STATE_MACHINE_SEED ?? Date.now() % 2 ** 31);

/** How long new runs are begun, in milliseconds: less than ten seconds in all. One that has begun is not interrupted. */
const BUDGET = 7000;

const SETTINGS = {
  seed: SEED,
  numRuns: 100,
  // what hangs fails with its commands instead of the test's time limit
  timeout: 5000,
  // a failure is made smaller before it is told, but not for ever
  interruptAfterTimeLimit: 40_000,
};

/** How long Redis gets to show what is expected of it, in milliseconds; only a failure takes so long. */
const PATIENCE = 1500;

const CLIENTS = [0, 1, 2, 3];
const CHANNELS = ["a", "b", "c"];
const PREFIX = "state-machine:";

/** What all servers listen to. */
const RESERVED = ["___all___", "___sync___"];

/** How many tokens there are for clients that connect while Redis is away. */
const SPARE_TOKENS = 4;

/** What a client asks for. */
type Request = { readonly id: number; readonly type: "authenticate" | "hold" } | ChannelRequest;

interface ChannelRequest {
  readonly id: number;
  readonly type: "subscribe" | "unsubscribe" | "publish";
  readonly channel: string;
}

/** What a client should be like. */
class ModelClient {
  state: "connecting" | "authenticating" | "open" = "connecting";
  /** Whether it has been open once: then the server may call it. */
  identified = false;
  readonly channels = new Set<string>();
  /** Its requests that wait for Redis, in order. */
  waiting: Request[] = [];
  /** Its calls that a function of the server is about to answer. */
  readonly held = new Set<number>();
  /** Calls of the server that it has not answered. */
  readonly calls = new Set<number>();

  /** Its requests that have no reply. */
  get unanswered(): number[] {
    return [...this.waiting.map(({ id }) => id), ...this.held];
  }
}

/** What everything should be like. */
class Model {
  isUp = true;
  spareTokens = SPARE_TOKENS;
  readonly clients = new Map<number, ModelClient>();
  #ids = 0;

  nextId(): number {
    return ++this.#ids;
  }

  client(index: number): ModelClient {
    const client = this.clients.get(index);
    if (!client) throw new Error(`There is no client ${index}`);
    return client;
  }

  /** The clients in a channel. */
  members(channel: string): number[] {
    return CLIENTS.filter((index) => this.clients.get(index)?.channels.has(channel));
  }

  /** The channels with a member. */
  channels(): string[] {
    return CHANNELS.filter((channel) => this.members(channel).length > 0);
  }

  /** The channels that Redis should know of. */
  channelsInRedis(): string[] {
    return this.isUp ? [...RESERVED, ...this.channels()] : [];
  }

  /** Takes a request on; says whether it is carried out now. */
  request(index: number, request: Request): boolean {
    const client = this.client(index);
    const isDone = this.isUp || this.#needsNoRedis(client, request);
    if (isDone) this.#carryOut(client, request);
    else client.waiting.push(request);
    if (request.type === "authenticate" && !isDone) client.state = "authenticating";
    return isDone;
  }

  /** Redis is back; gives what each client has waited for. */
  mend(): Map<number, Request[]> {
    this.isUp = true;
    const done = new Map<number, Request[]>();
    for (const [index, client] of this.clients) {
      done.set(index, client.waiting);
      for (const request of client.waiting) this.#carryOut(client, request);
      client.waiting = [];
    }
    return done;
  }

  #needsNoRedis(client: ModelClient, request: Request): boolean {
    if (client.state === "authenticating") return false;
    if (request.type === "hold") return true;
    if (!("channel" in request) || request.type === "publish") return false;
    const { channel } = request;
    const isBehind = client.waiting.some(
      (earlier) =>
        (earlier.type === "subscribe" || earlier.type === "unsubscribe") && earlier.channel === channel,
    );
    // where somebody is in a channel, the server has its subscription
    return !isBehind && (request.type === "unsubscribe" || this.members(channel).length > 0);
  }

  #carryOut(client: ModelClient, request: Request): void {
    if (request.type === "authenticate") {
      client.state = "open";
      client.identified = true;
    } else if (request.type === "hold") client.held.add(request.id);
    else if (request.type === "subscribe") client.channels.add(request.channel);
    else if (request.type === "unsubscribe") client.channels.delete(request.channel);
  }
}

/** A client, and what it has seen. */
class RealClient {
  readonly wire: WireClient;
  readonly socket: Socket;
  readonly token: string;
  /** The channels that it is in as far as the server has told it. */
  readonly channels = new Set<string>();
  /** The messages that it has got, each in the order in which it came. */
  readonly messages: unknown[] = [];
  /** The ids by which it answers calls of the server. */
  readonly fids = new Map<number, string>();
  readonly unanswered = new Map<number, Promise<Frame>>();
  readonly calls = new Map<number, Promise<unknown>>();

  constructor(wire: WireClient, socket: Socket, token: string) {
    this.wire = wire;
    this.socket = socket;
    this.token = token;
  }

  send(id: number, frame: Record<string, unknown>): void {
    const reply = this.wire.request({ ...frame, uuid: id });
    this.unanswered.set(id, reply);
    reply.catch(() => {}).then(() => this.unanswered.delete(id));
  }

  /** Takes what has come beside replies. */
  read(): void {
    const { frames } = this.wire;
    for (const frame of frames.splice(0)) {
      const channel = String(frame.channel ?? frame.data?.channel);
      if (frame.uuid !== undefined) frames.push(frame);
      else if ("message" in frame) this.messages.push(frame.message);
      else if (frame.command === "subscribe") this.channels.add(channel);
      else if (frame.command === "unsubscribe") this.channels.delete(channel);
      else throw new Error(`An unexpected frame: ${JSON.stringify(frame)}`);
    }
  }
}

/** The server, Redis and the clients. */
class Real {
  readonly clients = new Map<number, RealClient>();
  /** Ends the calls of clients that the server is about to answer. */
  readonly held = new Map<number, () => void>();
  readonly #heldEvents = new EventEmitter();
  readonly #spareTokens: string[] = [];
  readonly #line: SeverableLine;
  readonly #redisClients: readonly NodeRedis[];
  readonly #observer: NodeRedis;
  readonly application: Application;

  static async start(redis: RedisServer): Promise<Real> {
    const line = await SeverableLine.to(redis.port);
    const clients = [1, 2].map(() => createClient({ url: line.url, socket: { reconnectStrategy: 5 } }));
    const [redisClient, pubsubClient] = clients;
    if (!redisClient || !pubsubClient) throw new Error("There are no clients");
    const observer = await connectNodeRedis(redis.url);
    let real: Real | undefined;
    const application = await Application.start({
      redisClient,
      pubsubClient,
      options: {
        channelPrefix: PREFIX,
        tokenTtl: 600_000,
        limits: { redisTimeout: 600_000 },
        socketController: {
          echo: (_auth: unknown, data: unknown) => data,
          hold: (_auth: unknown, data: unknown) => real?.hold(Number(data)),
        },
      },
    });
    await Promise.all(clients.map((client) => client.connect()));
    await application.tokenServer.ready();
    real = new Real(line, clients, observer, application);
    return real;
  }

  private constructor(
    line: SeverableLine,
    redisClients: readonly NodeRedis[],
    observer: NodeRedis,
    application: Application,
  ) {
    this.#line = line;
    this.#redisClients = redisClients;
    this.#observer = observer;
    this.application = application;
  }

  async stop(): Promise<void> {
    await this.mend();
    await this.application.stop();
    for (const client of [...this.#redisClients, this.#observer]) client.destroy();
    await this.#line.sever();
  }

  /** Makes all as it was at first: a run that has failed may have left anything. */
  async reset(): Promise<void> {
    await this.mend();
    for (const index of [...this.clients.keys()]) await this.close(index);
    this.application.errors.length = 0;
    this.application.log.length = 0;
    while (this.#spareTokens.length < SPARE_TOKENS) this.#spareTokens.push(await this.application.token());
    await this.check(new Model());
  }

  client(index: number): RealClient {
    const client = this.clients.get(index);
    if (!client) throw new Error(`There is no client ${index}`);
    return client;
  }

  async connect(index: number, transport: WireTransport, isUp: boolean): Promise<void> {
    const token = isUp ? await this.application.token() : this.#spareTokens.pop();
    if (token === undefined) throw new Error("There is no token");
    const wire = await this.application.open(transport);
    this.clients.set(index, new RealClient(wire, this.application.socket() as Socket, token));
  }

  /** Closes a client's connection; resolves when the server has heard of it. */
  async close(index: number): Promise<void> {
    const { wire, socket } = this.client(index);
    this.clients.delete(index);
    const { tokenServer } = this.application;
    const ended = wire.end();
    while (tokenServer.sockets().includes(socket)) await next(tokenServer, "disconnect");
    await ended;
  }

  /** Waits for a reply, which has to be a success. */
  async done(index: number, { id, type }: Request): Promise<void> {
    if (type === "hold") {
      while (!this.held.has(id)) await next(this.#heldEvents, "held");
      return;
    }
    const reply = await this.client(index).unanswered.get(id);
    if (reply) expect(reply, type).to.have.property("resp", "success");
  }

  hold(id: number): Promise<number> {
    return new Promise((resolve) => {
      this.held.set(id, () => {
        this.held.delete(id);
        resolve(id);
      });
      this.#heldEvents.emit("held");
    });
  }

  async sever(): Promise<void> {
    await this.#line.sever();
    for (const client of this.#redisClients) while (client.isReady) await next(client, "reconnecting");
  }

  async mend(): Promise<void> {
    await this.#line.mend();
    for (const client of this.#redisClients) while (!client.isReady) await next(client, "ready");
  }

  /** Compares all that can be seen with the model. */
  async check(model: Model): Promise<void> {
    const { tokenServer } = this.application;
    await this.#checkRedis(model);
    expect(tokenServer.sockets(), "sockets").to.have.length(model.clients.size);
    expect(tokenServer.channels(), "channels").to.have.members(model.channels());
    for (const channel of CHANNELS) {
      const members = model.members(channel).map((index) => this.client(index).socket);
      expect(tokenServer.channelSockets(channel), `the sockets of ${channel}`).to.have.members(members);
    }
    for (const [index, expected] of model.clients) {
      const client = this.client(index);
      const channels = [...expected.channels];
      expect(Object.keys(client.socket.channels), `the channels of ${index}`).to.have.members(channels);
      client.read();
      expect([...client.channels], `what ${index} was told`).to.have.members(channels);
      expect([...client.unanswered.keys()], `requests of ${index}`).to.have.members(expected.unanswered);
      expect([...client.calls.keys()], `calls of ${index}`).to.have.members([...expected.calls]);
    }
  }

  /** Leaving a channel is acknowledged before Redis has confirmed it, so Redis gets a while. */
  async #checkRedis(model: Model): Promise<void> {
    const expected = model.channelsInRedis().map((channel) => PREFIX + channel);
    const isMet = (found: readonly string[], counts: Record<string, number>) =>
      found.length === expected.length && expected.every((channel) => Number(counts[channel]) === 1);
    const end = Date.now() + PATIENCE;
    for (;;) {
      const found = await this.#observer.pubSubChannels(`${PREFIX}*`);
      const counts = { ...(await this.#observer.pubSubNumSub(found)) };
      if (isMet(found, counts)) return;
      if (Date.now() > end) {
        const wanted = Object.fromEntries(expected.map((channel) => [channel, 1]));
        expect(counts, "subscriptions in Redis").to.deep.equal(wanted);
      }
    }
  }
}

/** Waits for an event; `once` of Node.js would give up at an error, of which there are many without Redis. */
function next(emitter: Pick<EventEmitter, "once">, event: string): Promise<void> {
  return new Promise((resolve) => emitter.once(event, () => resolve()));
}

type Command = fc.AsyncCommand<Model, Real>;

/** One step. Each compares everything with the model when it has been made. */
abstract class Step implements Command {
  abstract check(model: Readonly<Model>): boolean;
  abstract make(model: Model, real: Real): Promise<void>;
  abstract toString(): string;

  async run(model: Model, real: Real): Promise<void> {
    await this.make(model, real);
    await real.check(model);
  }
}

class Connect extends Step {
  constructor(
    readonly index: number,
    readonly transport: WireTransport,
  ) {
    super();
  }

  check(model: Model): boolean {
    return !model.clients.has(this.index) && (model.isUp || model.spareTokens > 0);
  }

  async make(model: Model, real: Real): Promise<void> {
    if (!model.isUp) model.spareTokens--;
    model.clients.set(this.index, new ModelClient());
    await real.connect(this.index, this.transport, model.isUp);
  }

  toString = () => `Connect(${this.index}, ${this.transport})`;
}

/** Presents a token: the first time to be let in. */
class Authenticate extends Step {
  constructor(readonly index: number) {
    super();
  }

  check(model: Model): boolean {
    return model.clients.get(this.index)?.state === "connecting";
  }

  async make(model: Model, real: Real): Promise<void> {
    const client = real.client(this.index);
    const request: Request = { id: model.nextId(), type: "authenticate" };
    client.send(request.id, { rpc: "auth", token: client.token, protocol: 4 });
    if (model.request(this.index, request)) await real.done(this.index, request);
  }

  toString = () => `Authenticate(${this.index})`;
}

/** Presents another token on a connection that is open, as a client does whose identity is about to end. */
class Renew extends Step {
  constructor(readonly index: number) {
    super();
  }

  check(model: Model): boolean {
    return model.isUp && model.clients.get(this.index)?.state === "open";
  }

  async make(model: Model, real: Real): Promise<void> {
    const token = await real.application.token();
    const request: Request = { id: model.nextId(), type: "authenticate" };
    real.client(this.index).send(request.id, { rpc: "auth", token, protocol: 4 });
    if (model.request(this.index, request)) await real.done(this.index, request);
  }

  toString = () => `Renew(${this.index})`;
}

/** Asks for something without having been let in, and is turned away. */
class Trespass extends Step {
  constructor(
    readonly index: number,
    readonly channel: string,
  ) {
    super();
  }

  check(model: Model): boolean {
    return model.clients.get(this.index)?.state === "connecting";
  }

  async make(model: Model, real: Real): Promise<void> {
    const { wire } = real.client(this.index);
    const reply = await wire.request({ rpc: "_subscribe", req: { channel: this.channel } });
    expect(reply.error).to.equal("Forbidden");
    await wire.closed;
    await real.close(this.index);
    model.clients.delete(this.index);
  }

  toString = () => `Trespass(${this.index}, ${this.channel})`;
}

/** Joins or leaves a channel. */
class ChangeMembership extends Step {
  constructor(
    readonly type: "subscribe" | "unsubscribe",
    readonly index: number,
    readonly channel: string,
  ) {
    super();
  }

  check(model: Model): boolean {
    return (model.clients.get(this.index)?.state ?? "connecting") !== "connecting";
  }

  async make(model: Model, real: Real): Promise<void> {
    const { type, channel } = this;
    const request: Request = { id: model.nextId(), type, channel };
    real.client(this.index).send(request.id, { rpc: `_${type}`, req: { channel } });
    if (model.request(this.index, request)) await real.done(this.index, request);
  }

  toString = () => `${this.type}(${this.index}, ${this.channel})`;
}

/** Publishes. A message of a time without Redis may be lost, and reaches nobody twice. */
class Publish extends Step {
  constructor(
    readonly index: number,
    readonly channel: string,
  ) {
    super();
  }

  check(model: Model): boolean {
    return (model.clients.get(this.index)?.state ?? "connecting") !== "connecting";
  }

  async make(model: Model, real: Real): Promise<void> {
    const { channel } = this;
    const request: Request = { id: model.nextId(), type: "publish", channel };
    const data = `message ${request.id}`;
    real.client(this.index).send(request.id, { rpc: "_publish", req: { channel, data } });
    if (!model.request(this.index, request)) return;
    await real.done(this.index, request);
    const members = model.members(channel);
    for (const [index, { state }] of model.clients) {
      if (state !== "open") continue;
      const client = real.client(index);
      if (members.includes(index)) {
        client.messages.push((await client.wire.take((frame) => frame.message === data)).message);
      } else if (members.length > 0) {
        // what the server has sent before this reply has come before it
        await client.wire.request({ rpc: "echo", req: null });
        client.read();
        expect(client.messages, `messages of ${index}`).not.to.include(data);
      }
    }
  }

  toString = () => `Publish(${this.index}, ${this.channel})`;
}

/** The server calls a client, which does not answer yet. */
class CallClient extends Step {
  constructor(readonly index: number) {
    super();
  }

  check(model: Model): boolean {
    return model.clients.get(this.index)?.identified === true;
  }

  async make(model: Model, real: Real): Promise<void> {
    const { socket, wire, calls, fids } = real.client(this.index);
    const id = model.nextId();
    model.client(this.index).calls.add(id);
    const answer = real.application.tokenServer
      .rpc(socket, "answer", id, { timeout: Number.POSITIVE_INFINITY })
      .finally(() => calls.delete(id));
    answer.catch(() => {});
    calls.set(id, answer);
    fids.set(id, (await wire.takeCall()).fid);
  }

  toString = () => `CallClient(${this.index})`;
}

/** The client answers the oldest call. */
class Answer extends Step {
  constructor(readonly index: number) {
    super();
  }

  check(model: Model): boolean {
    return (model.clients.get(this.index)?.calls.size ?? 0) > 0;
  }

  async make(model: Model, real: Real): Promise<void> {
    const { calls } = model.client(this.index);
    const [id = 0] = calls;
    calls.delete(id);
    const client = real.client(this.index);
    const answer = client.calls.get(id);
    client.wire.send({ rpc: "_rpc", fid: client.fids.get(id), resp: { data: id } });
    expect(await answer).to.equal(id);
  }

  toString = () => `Answer(${this.index})`;
}

/** A client calls a function that does not answer yet. */
class CallServer extends Step {
  constructor(readonly index: number) {
    super();
  }

  check(model: Model): boolean {
    return (model.clients.get(this.index)?.state ?? "connecting") !== "connecting";
  }

  async make(model: Model, real: Real): Promise<void> {
    const request: Request = { id: model.nextId(), type: "hold" };
    real.client(this.index).send(request.id, { rpc: "hold", req: request.id });
    if (model.request(this.index, request)) await real.done(this.index, request);
  }

  toString = () => `CallServer(${this.index})`;
}

/** The server answers a client's oldest call, or the client takes it back. */
class EndCall extends Step {
  constructor(
    readonly index: number,
    readonly how: "answered" | "cancelled",
  ) {
    super();
  }

  check(model: Model): boolean {
    const client = model.clients.get(this.index);
    return client?.state === "open" && client.held.size > 0;
  }

  async make(model: Model, real: Real): Promise<void> {
    const { held } = model.client(this.index);
    const [id = 0] = held;
    held.delete(id);
    const { unanswered, wire } = real.client(this.index);
    const replying = unanswered.get(id);
    if (this.how === "answered") real.held.get(id)?.();
    else wire.send({ rpc: "_cancel", req: { uuid: id } });
    const reply = await replying;
    if (this.how === "answered") expect(reply).to.have.property("resp", id);
    else expect(reply?.error).to.have.property("code", "aborted");
  }

  toString = () => `EndCall(${this.index}, ${this.how})`;
}

class Close extends Step {
  constructor(readonly index: number) {
    super();
  }

  check(model: Model): boolean {
    return model.clients.has(this.index);
  }

  async make(model: Model, real: Real): Promise<void> {
    const calls = [...real.client(this.index).calls.values()];
    model.clients.delete(this.index);
    await real.close(this.index);
    for (const call of await Promise.allSettled(calls)) {
      expect(call.status === "rejected" && call.reason.name).to.equal("DisconnectedError");
    }
  }

  toString = () => `Close(${this.index})`;
}

/** Redis goes away, or comes back. */
class ToggleRedis extends Step {
  check(): boolean {
    return true;
  }

  async make(model: Model, real: Real): Promise<void> {
    if (model.isUp) {
      model.isUp = false;
      await real.sever();
      return;
    }
    await real.mend();
    for (const [index, requests] of model.mend()) {
      for (const request of requests) await real.done(index, request);
    }
  }

  toString = () => "ToggleRedis";
}

type CallStep = "call" | "answer" | "hold" | "end" | "cancel";

function callStep(what: CallStep, index: number): Step {
  switch (what) {
    case "call":
      return new CallClient(index);
    case "answer":
      return new Answer(index);
    case "hold":
      return new CallServer(index);
    case "end":
      return new EndCall(index, "answered");
    case "cancel":
      return new EndCall(index, "cancelled");
  }
}

/** Makes something as likely as two others. */
function twice<T>(value: T): [T, T] {
  return [value, value];
}

const index = fc.constantFrom(...CLIENTS);
const channel = fc.constantFrom(...CHANNELS);
const transport = fc.oneof(
  { weight: 1, arbitrary: fc.constant<WireTransport>("websocket") },
  // it is open after one request
  { weight: 4, arbitrary: fc.constant<WireTransport>("raw-websocket") },
);

/** Most of them are what others can be in the middle of. */
const steps = [
  ...twice(fc.tuple(index, transport).map(([n, by]) => new Connect(n, by))),
  ...twice(index.map((n) => new Authenticate(n))),
  ...twice(
    fc
      .tuple(
        fc.constantFrom("subscribe" as const, "subscribe" as const, "unsubscribe" as const),
        index,
        channel,
      )
      .map(([type, n, name]) => new ChangeMembership(type, n, name)),
  ),
  fc.tuple(index, channel).map(([n, name]) => new Publish(n, name)),
  fc
    .tuple(index, fc.constantFrom<CallStep>("call", "answer", "hold", "end", "cancel"))
    .map(([n, what]) => callStep(what, n)),
  fc
    .tuple(index, channel, fc.nat(9))
    .map(([n, name, kind]) => (kind === 0 ? new Trespass(n, name) : kind < 3 ? new Renew(n) : new Close(n))),
  fc.constant(new ToggleRedis()),
];

describe("whatever clients and Redis do, in any order", () => {
  let redis: RedisServer;
  let real: Real;
  let isBroken = false;

  async function replace(): Promise<void> {
    await real.stop();
    real = await Real.start(redis);
  }

  before(async () => {
    redis = await startRedis();
    real = await Real.start(redis);
  });

  after(async () => {
    await real?.stop();
    await redis?.stop();
  });

  afterEach(function () {
    if (this.currentTest?.state === "failed") console.error(`    STATE_MACHINE_SEED=${SEED} runs this again`);
  });

  it("leaves the server, the clients and Redis of one mind", async function () {
    // only a failure takes so long
    this.timeout(60_000);
    const commands = fc.commands<Model, Real, false>(steps, { maxCommands: 80, size: "max" });
    const end = Date.now() + BUDGET;
    await fc.assert(
      fc.asyncProperty(fc.subarray(CLIENTS), commands, async (isOpen, run) => {
        if (Date.now() > end && !isBroken) return;
        // what a fault has left in one server must not fail the smaller runs that are tried next
        if (isBroken) await replace();
        isBroken = true;
        await real.reset();
        const model = new Model();
        for (const index of isOpen) {
          await new Connect(index, "raw-websocket").run(model, real);
          await new Authenticate(index).run(model, real);
        }
        await fc.asyncModelRun(() => ({ model, real }), run);
        // what Redis has not said yet it says when it is back, and then nothing may have changed
        if (!model.isUp) await new ToggleRedis().run(model, real);
        for (const client of real.clients.values()) {
          client.read();
          expect(client.messages, "no message twice").to.deep.equal([...new Set(client.messages)]);
        }
        isBroken = false;
      }),
      SETTINGS,
    );
  });
});
