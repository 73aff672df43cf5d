import { createClient } from "redis";

/** What Redis has done since its start. */
interface Done {
  /** The number of commands, those of scripts included. */
  readonly commands: number;
  /** Microseconds of CPU time. */
  readonly cpu: number;
}

/** Asks the benchmark's Redis what the servers cost it. */
export class RedisFigures {
  readonly #client;

  static async connect(port: number): Promise<RedisFigures> {
    const figures = new RedisFigures(port);
    await figures.#client.connect();
    return figures;
  }

  private constructor(port: number) {
    this.#client = createClient({ socket: { host: "127.0.0.1", port } });
    this.#client.on("error", () => {});
  }

  /** What `work` costs Redis. */
  async measure(work: () => Promise<void>): Promise<Done> {
    const before = await this.#done();
    await work();
    const after = await this.#done();
    // the second question itself is no command of the server's
    return { commands: Math.max(0, after.commands - before.commands - 1), cpu: after.cpu - before.cpu };
  }

  /** The bytes that all histories take. */
  async memoryOfHistories(): Promise<number> {
    const keys = await this.#histories();
    const sizes = await Promise.all(keys.map((key) => this.#client.memoryUsage(key, { SAMPLES: 0 })));
    return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
  }

  /** Deletes the histories that an earlier server has kept. */
  async forgetHistories(): Promise<void> {
    const keys = await this.#histories();
    if (keys.length > 0) await this.#client.del(keys);
  }

  close(): void {
    this.#client.destroy();
  }

  /** The keys that docs/delivery.md names. */
  async #histories(): Promise<string[]> {
    const kinds = ["log", "position", "id"];
    const keys = await Promise.all(kinds.map((kind) => this.#client.keys(`token-sockjs:{*}${kind}:*`)));
    return keys.flat();
  }

  async #done(): Promise<Done> {
    const info = await this.#client.info();
    const numberOf = (field: string) => Number(new RegExp(`^${field}:([\\d.]+)`, "m").exec(info)?.[1]);
    return {
      commands: numberOf("total_commands_processed"),
      cpu: (numberOf("used_cpu_user") + numberOf("used_cpu_sys")) * 1e6,
    };
  }
}
