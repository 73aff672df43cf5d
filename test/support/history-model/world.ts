import type { AddressInfo } from "node:net";
import { TokenSocket } from "../../../lib/client/index.js";
import { historyNames, parseEnvelope } from "../../../lib/server/redis/history-log.js";
import { inState } from "../../client/behaviour/helpers.js";
import { Application } from "../application.js";
import { connectNodeRedis, makeNodeRedis, type NodeRedis } from "../node-redis.js";
import type { RedisServer } from "../redis-server.js";
import { SeverableLine } from "../severable-line.js";
import { Ledger, MOST, type Payload } from "./ledger.js";
import { type Snapshot, Truth } from "./truth.js";

/** How long all gets to come to rest, in milliseconds; only a failure takes so long. */
const PATIENCE = 12_000;

const QUICK = { min: 5, max: 20 };

/** Gives copies of a log and of its position, and the position itself. */
const SAVE =
  "return { redis.call('DUMP', KEYS[1]), redis.call('DUMP', KEYS[2]), redis.call('GET', KEYS[2]) }";

/** The sizes of the histories: less than servers recover, and more. */
export const KINDS = { small: 4, large: 12 };
export type Kind = keyof typeof KINDS;
const KIND_NAMES = Object.keys(KINDS) as Kind[];

/** The clients' names; the filter withholds odd messages from bob. */
export const NAMES = ["alice", "bob", "carol"] as const;

const isAllowed = (name: unknown, n: number) => name !== "bob" || n % 2 === 0;

/** A server, and its subscriber's line to Redis. */
class ModelServer {
  readonly application: Application;
  readonly line: SeverableLine;
  readonly #clients: readonly NodeRedis[];
  isDeaf = false;

  static async start(redis: RedisServer): Promise<ModelServer> {
    const line = await SeverableLine.to(redis.port);
    const clients = [redis.url, line.url].map((url) => {
      const client = makeNodeRedis({ url, socket: { reconnectStrategy: 5 } });
      return client.on("error", () => {});
    });
    const [redisClient, pubsubClient] = clients;
    if (!redisClient || !pubsubClient) throw new Error("There are no clients");
    await Promise.all(clients.map((client) => client.connect()));
    const application = await Application.start({
      redisClient,
      pubsubClient,
      session: null,
      options: {
        authentication: (req) => ({ name: `${req.query.name}` }),
        history: Object.fromEntries(
          KIND_NAMES.map((kind) => [`${kind}:*`, { size: KINDS[kind], ttl: 600_000 }]),
        ),
        limits: { recoverMessages: MOST },
        filter: (socket, _channel, message) =>
          isAllowed(socket.auth?.name, (message as Payload).n) && message,
      },
    });
    await application.tokenServer.ready();
    return new ModelServer(application, line, clients);
  }

  private constructor(application: Application, line: SeverableLine, clients: readonly NodeRedis[]) {
    this.application = application;
    this.line = line;
    this.#clients = clients;
  }

  get port(): number {
    return (this.application.http.address() as AddressInfo).port;
  }

  /** Cuts the subscriber's connection, which comes back by itself. */
  cutSubscriber(): void {
    this.line.moveTo(Number(new URL(this.#clients[0]?.options?.url ?? "").port));
  }

  async sever(): Promise<void> {
    this.isDeaf = true;
    await this.line.sever();
  }

  async mend(): Promise<void> {
    this.isDeaf = false;
    await this.line.mend();
  }

  async stop(): Promise<void> {
    await this.mend();
    await this.application.stop();
    for (const client of this.#clients) client.destroy();
    await this.line.sever();
  }
}

/** A client, its line, and what it has heard. */
class ModelClient {
  readonly name: string;
  readonly socket: TokenSocket;
  readonly line: SeverableLine;
  readonly ledgers = new Map<string, Ledger>();
  /** The server that its line leads to. */
  server: number;
  isCut = false;

  static async start(name: string, server: number, port: number): Promise<ModelClient> {
    const client = new ModelClient(name, server, await SeverableLine.to(port));
    await client.socket.ready();
    return client;
  }

  private constructor(name: string, server: number, line: SeverableLine) {
    this.name = name;
    this.server = server;
    this.line = line;
    this.socket = new TokenSocket({
      host: `http://127.0.0.1:${line.port}`,
      authentication: { name },
      backoff: QUICK,
      sockjs: false,
    });
    this.socket.on("message", (channel, message, info) =>
      this.ledgers.get(channel)?.message(message as Payload, info),
    );
    this.socket.on("lost", (channel, loss) => this.ledgers.get(channel)?.lost(loss));
  }

  get isOpen(): boolean {
    return !this.isCut && this.socket.state === "open";
  }

  async join(channel: string, truth: Truth): Promise<void> {
    if (this.ledgers.has(channel)) return;
    const joined = this.socket.subscribe(channel);
    await joined;
    const position = () => this.socket.position(channel);
    const allowed = (n: number) => isAllowed(this.name, n);
    const name = `${this.name} in ${channel}`;
    this.ledgers.set(channel, new Ledger(name, truth, position() ?? "", allowed, position));
  }

  async leave(channel: string): Promise<void> {
    this.ledgers.delete(channel);
    await this.socket.unsubscribe(channel);
  }

  async stop(): Promise<void> {
    await this.socket.end();
    await this.line.sever();
  }
}

/** Two servers on one Redis, and three clients with a line each. */
export class World {
  readonly #redis: RedisServer;
  readonly #operator: NodeRedis;
  readonly #observer: NodeRedis;
  readonly #servers: ModelServer[];
  #clients: ModelClient[] = [];
  #truths = new Map<string, Truth>();
  readonly #stopping: Promise<void>[] = [];
  #run = 0;
  #number = 0;
  #snapshot = new Map<string, { readonly snapshot: Snapshot; readonly keys: readonly (Buffer | null)[] }>();
  /** The ids that were used last, with what they have brought. */
  #ids = new Map<Kind, { readonly id: string; readonly at: string }>();
  readonly #complaints: Error[] = [];

  static async start(redis: RedisServer): Promise<World> {
    const servers = await Promise.all([ModelServer.start(redis), ModelServer.start(redis)]);
    const world = new World(
      redis,
      servers,
      await connectNodeRedis(redis.url),
      await connectNodeRedis(redis.url),
    );
    await world.#operator.flushAll();
    await world.#observer.pSubscribe(
      KIND_NAMES.map((kind) => `${kind}:*`),
      (payload, channel) => world.#observe(payload, channel),
    );
    return world;
  }

  private constructor(redis: RedisServer, servers: ModelServer[], operator: NodeRedis, observer: NodeRedis) {
    this.#redis = redis;
    this.#servers = servers;
    this.#operator = operator;
    this.#observer = observer;
  }

  /** Begins a run: new channels, and clients that are in them. */
  async begin(): Promise<void> {
    this.#run++;
    this.#snapshot.clear();
    this.#ids.clear();
    this.#truths = new Map(KIND_NAMES.map((kind) => [this.#channel(kind), new Truth(KINDS[kind])]));
    this.#clients = await Promise.all(
      NAMES.map((name, index) => ModelClient.start(name, index % 2, this.#server(index).port)),
    );
    for (const client of this.#clients) {
      for (const [channel, truth] of this.#truths) await client.join(channel, truth);
    }
    await this.save();
  }

  /** Ends a run: mends all, and compares. */
  async end(): Promise<void> {
    for (const server of this.#servers) await server.mend();
    for (const index of NAMES.keys()) await this.mend(index);
    await this.settle();
    await this.#stopClients();
  }

  async stop(): Promise<void> {
    await this.#stopClients();
    await Promise.all([...this.#stopping, ...this.#servers.map((server) => server.stop())]);
    this.#operator.destroy();
    this.#observer.destroy();
  }

  async publish(kind: Kind, server: number, count = 1): Promise<void> {
    const channel = this.#channel(kind);
    const { tokenServer } = this.#server(server).application;
    const numbers = Array.from({ length: count }, () => ++this.#number);
    await Promise.all(numbers.map((n) => tokenServer.publish(channel, { n })));
    await this.#observed(channel, numbers);
  }

  /** Publishes by a client, which may be cut meanwhile. */
  async publishBy(kind: Kind, index: number, count: number, isCut: boolean): Promise<void> {
    const client = this.#client(index);
    // behind a join that waits for the subscriber it would wait as well
    if (!client.isOpen || this.#server(client.server).isDeaf) return;
    const channel = this.#channel(kind);
    const numbers = Array.from({ length: count }, () => ++this.#number);
    const published = Promise.all(numbers.map((n) => client.socket.publish(channel, { n })));
    if (isCut) this.moveClient(index, client.server);
    await published;
    await this.#observed(channel, numbers);
  }

  /** Publishes a message with an id, or once more with the last one. */
  async publishOnce(kind: Kind, server: number, isRepeated: boolean): Promise<void> {
    const channel = this.#channel(kind);
    const { tokenServer } = this.#server(server).application;
    const last = this.#ids.get(kind);
    const n = ++this.#number;
    const id = (isRepeated && last?.id) || `id ${this.#run} ${n}`;
    const both = [1, 2].map(() => tokenServer.publish(channel, { n }, { id }));
    const [at = "", again] = await Promise.all(both);
    if (at !== again || (id === last?.id && at !== last.at)) throw new Error(`${id} was published again`);
    this.#ids.set(kind, { id, at });
    if (id !== last?.id) await this.#observed(channel, [n]);
  }

  async join(kind: Kind, index: number): Promise<void> {
    const client = this.#client(index);
    // one that comes back may be told of more than it has asked for
    if (client.isOpen && !this.#server(client.server).isDeaf) {
      await client.join(this.#channel(kind), this.#truth(kind));
    }
  }

  async leave(kind: Kind, index: number): Promise<void> {
    const client = this.#client(index);
    if (client.isOpen) await client.leave(this.#channel(kind));
  }

  async cut(index: number): Promise<void> {
    const client = this.#client(index);
    if (client.isCut) return;
    client.isCut = true;
    impair(client);
    const waits = inState(client.socket, "waiting");
    await client.line.sever();
    if (client.socket.state === "open") await waits;
  }

  async mend(index: number): Promise<void> {
    const client = this.#client(index);
    client.isCut = false;
    this.#impair(client.server);
    await client.line.mend();
  }

  /** Cuts a client's connection, which comes back to a server. */
  moveClient(index: number, server: number): void {
    const client = this.#client(index);
    client.server = server;
    this.#impair(server);
    client.line.moveTo(this.#server(server).port);
  }

  cutSubscriber(index: number): void {
    this.#impair(index);
    this.#server(index).cutSubscriber();
  }

  async sever(index: number): Promise<void> {
    this.#impair(index);
    await this.#server(index).sever();
  }

  async mendSubscriber(index: number): Promise<void> {
    await this.#server(index).mend();
  }

  /** Replaces a server by another one, which its clients come back to; as a drain does, or a kill. */
  async replace(index: number, isDrained: boolean): Promise<void> {
    this.#impair(index);
    const old = this.#server(index);
    this.#servers[index] = await ModelServer.start(this.#redis);
    const { port } = this.#server(index);
    if (isDrained) await old.application.tokenServer.shutdown();
    for (const client of this.#clients) if (client.server === index) client.line.moveTo(port);
    if (!isDrained) await old.sever();
    this.#stopping.push(old.stop());
  }

  async save(): Promise<void> {
    for (const [channel, truth] of this.#truths) {
      // at once, as Redis takes a snapshot: servers may begin a history between two commands
      const operator = this.#operator.withTypeMapping({ 36: Buffer });
      const saved = await operator.eval(SAVE, { keys: keysOf(channel) });
      const [log, position, newest] = saved as unknown as (Buffer | null)[];
      const snapshot = truth.snapshot(newest?.toString());
      this.#snapshot.set(channel, { snapshot, keys: [log ?? null, position ?? null] });
    }
  }

  /** Brings an old copy of all histories back. */
  async restore(): Promise<void> {
    this.#impairAll();
    // at once, as Redis begins with a snapshot
    const multi = this.#operator.multi();
    for (const [channel, truth] of this.#truths) {
      const saved = this.#snapshot.get(channel);
      if (!saved) continue;
      truth.restore(saved.snapshot);
      for (const [index, key] of keysOf(channel).entries()) {
        const value = saved.keys[index];
        if (value) multi.addCommand(["RESTORE", key, "0", value as unknown as string, "REPLACE"]);
        else multi.del(key);
      }
    }
    await multi.exec();
  }

  async flush(): Promise<void> {
    this.#impairAll();
    this.#ids.clear();
    await this.#operator.flushAll();
    for (const truth of this.#truths.values()) truth.reset();
  }

  async deletePosition(kind: Kind): Promise<void> {
    this.#impairAll();
    await this.#operator.del(this.#names(kind).position);
    this.#truth(kind).reset();
  }

  async deleteLog(kind: Kind): Promise<void> {
    this.#impairAll();
    await this.#operator.del(this.#names(kind).log);
    this.#truth(kind).expire();
  }

  /** Takes the oldest messages away, as one does that has expired. */
  async expire(kind: Kind, count: number): Promise<void> {
    this.#impairAll();
    const { log } = this.#names(kind);
    const oldest = await this.#operator.xRange(log, "-", "+", { COUNT: count });
    for (const { id } of oldest ?? []) await this.#operator.xDel(log, id);
    this.#truth(kind).expire(count);
  }

  /** Waits until all that can be at rest is, and compares it with what was published. */
  async settle(): Promise<void> {
    const resting = this.#clients.filter(({ server, isCut }) => !isCut && !this.#server(server).isDeaf);
    for (const [channel, truth] of this.#truths) {
      // an even number, which is withheld from nobody
      this.#number += 2 - (this.#number % 2);
      const n = this.#number;
      const at = await this.#server(0).application.tokenServer.publish(channel, { n });
      await this.#observed(channel, [n]);
      for (const client of resting) {
        const ledger = client.ledgers.get(channel);
        if (!ledger) continue;
        const isThere = () => client.socket.state === "open" && client.socket.position(channel) === at;
        await this.#until(
          isThere,
          () =>
            `${client.name} did not come to ${at} in ${channel}, and is at ${client.socket.position(channel)}`,
        );
        ledger.check(at ?? "");
      }
      if (at === undefined || truth.messages.get(at)?.n !== n) throw new Error(`${n} is not at ${at}`);
    }
  }

  #observe(payload: string, channel: string): void {
    const entry = parseEnvelope(payload);
    if (!entry) return;
    const { epoch, offset, tag } = entry.position;
    try {
      this.#truths.get(channel)?.publish(`${epoch}.${offset}.${tag}`, (JSON.parse(entry.json) as Payload).n);
    } catch (error) {
      this.#complaints.push(error as Error);
    }
  }

  /** Waits until Redis has told of messages. */
  async #observed(channel: string, numbers: readonly number[]): Promise<void> {
    const truth = this.#truths.get(channel);
    const known = () => new Set([...(truth?.messages.values() ?? [])].map(({ n }) => n));
    await this.#until(
      () => {
        const all = known();
        return numbers.every((n) => all.has(n));
      },
      () => `${numbers} were not published in ${channel}`,
    );
  }

  async #until(holds: () => boolean, problem: () => string): Promise<void> {
    const end = performance.now() + PATIENCE;
    while (!holds()) {
      if (this.#complaints[0]) throw this.#complaints[0];
      if (performance.now() > end) throw new Error(problem());
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async #stopClients(): Promise<void> {
    await Promise.all(this.#clients.splice(0).map((client) => client.stop()));
  }

  /** One that comes back with more than has come to its server makes that read, ahead of what is on its way to all others there. */
  #impair(server: number): void {
    for (const client of this.#clients) if (client.server === server) impair(client);
  }

  #impairAll(): void {
    for (const client of this.#clients) impair(client);
  }

  #channel(kind: Kind): string {
    return `${kind}:${this.#run}`;
  }

  #names(kind: Kind) {
    return historyNames("", this.#channel(kind));
  }

  #truth(kind: Kind): Truth {
    return this.#truths.get(this.#channel(kind)) ?? new Truth(0);
  }

  #server(index: number): ModelServer {
    return this.#servers[index % this.#servers.length] as ModelServer;
  }

  #client(index: number): ModelClient {
    return this.#clients[index] as ModelClient;
  }
}

function impair(client: ModelClient): void {
  for (const ledger of client.ledgers.values()) ledger.isImpaired = true;
}

function keysOf(channel: string): string[] {
  const { log, position } = historyNames("", channel);
  return [log, position];
}
