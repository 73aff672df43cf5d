import { EventEmitter } from "node:events";
import { expect } from "chai";
import { createClient } from "redis";
import type { Socket } from "../../../lib/index.js";
import { Application } from "../application.js";
import { connectNodeRedis, type NodeRedis } from "../node-redis.js";
import type { RedisServer } from "../redis-server.js";
import { SeverableLine } from "../severable-line.js";
import type { Frame, WireClient, WireTransport } from "../wire-client.js";
import { CHANNELS, Model, type Request, SPARE_TOKENS } from "./model.js";

/** How long Redis gets to show what is expected of it, in milliseconds; only a failure takes so long. */
const PATIENCE = 1500;

const PREFIX = "state-machine:";

/** A client, and what it has seen. */
export class RealClient {
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
export class Real {
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
    const answers = `___server:${this.application.tokenServer.health().id}___`;
    const inRedis = model.isUp ? [...model.channelsInRedis(), answers] : [];
    const expected = inRedis.map((channel) => PREFIX + channel);
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
export function next(emitter: Pick<EventEmitter, "once">, event: string): Promise<void> {
  return new Promise((resolve) => emitter.once(event, () => resolve()));
}
