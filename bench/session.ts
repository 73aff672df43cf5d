import { join } from "node:path";
import type { Publisher, ServerProcess } from "./children.js";
import type { ContenderDefinition } from "./contenders.js";
import { type ChannelsOf, type Client, logIn } from "./load/client.js";
import { channelNumbers, Deliveries } from "./load/deliveries.js";
import type { Dialect } from "./load/dialects.js";
import { type Batch, channelOf } from "./messages.js";

/** What was measured of one contender in one round. Names are those of the metrics in report/metrics.ts. */
export type Figures = Readonly<Record<string, number>>;

export interface SessionOptions {
  readonly contender: ContenderDefinition;
  readonly server: ServerProcess;
  /** The port of Redis; absent for the embedded store. */
  readonly redis: number | undefined;
  readonly publisher: Publisher | undefined;
  readonly profileFolder?: string | undefined;
}

/** A contender's server and the clients that a case has of it. */
export class Session {
  readonly contender: ContenderDefinition;
  readonly server: ServerProcess;
  readonly redis: number | undefined;
  readonly #publisher: Publisher | undefined;
  readonly #clients: Client[] = [];
  readonly #profileFolder: string | undefined;
  #profiles = 0;

  constructor({ contender, server, redis, publisher, profileFolder }: SessionOptions) {
    this.contender = contender;
    this.server = server;
    this.redis = redis;
    this.#publisher = publisher;
    this.#profileFolder = profileFolder;
  }

  /** Lets clients in, which speak the contender's dialect, or another one. */
  async logIn(
    count: number,
    channelsOf: ChannelsOf = () => [],
    dialect: Dialect = this.contender.dialect,
  ): Promise<Client[]> {
    const clients = await logIn(this.server.port, { ...this.contender, dialect }, count, channelsOf);
    this.#clients.push(...clients);
    return clients;
  }

  /** Lets clients in, each into one of so many channels or more, and counts what they receive. */
  async listen(count: number, channels: number, size: number, each = 1): Promise<Deliveries> {
    const clients = await this.logIn(count, (index) =>
      channelNumbers(index, channels, each).map((number) => channelOf(number, channels)),
    );
    return new Deliveries(clients, { channels, each, size, publish: (batch) => this.publish(batch) });
  }

  publish(batch: Batch): void {
    const source = this.#publisher ?? this.server;
    source.publish(batch);
  }

  /** What so many units of work, which `work` resolves with, cost. The server has to be at rest before and after. */
  async measure(work: () => Promise<number>): Promise<Figures> {
    if (this.#profileFolder) await this.server.profile();
    const before = await this.server.usage();
    const loadBefore = process.cpuUsage();
    const start = performance.now();
    const units = await work();
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(loadBefore);
    const cpu = (await this.server.usage()).cpu - before.cpu;
    if (this.#profileFolder) {
      const name = `${this.contender.name}-${this.server.port}-${++this.#profiles}.cpuprofile`;
      await this.server.profile(join(this.#profileFolder, name));
    }
    return {
      rate: units / seconds,
      cpu: cpu / units,
      busy: cpu / 1e6 / seconds,
      loadBusy: (user + system) / 1e6 / seconds,
    };
  }

  /** Lets its clients go, and leaves the server. */
  end(): void {
    for (const client of this.#clients) client.close();
  }
}
