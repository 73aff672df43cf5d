import type { PayloadListener, Redis } from "./redis.js";
import type { SharedClient } from "./shared-client.js";

/** {@link Redis} on a client that its owner may share between several servers. */
export class ClientRedis implements Redis {
  readonly #client: SharedClient;
  #released = false;

  constructor(client: SharedClient) {
    this.#client = client;
    client.acquire(this);
  }

  get isReady(): boolean {
    return !this.#released && this.#client.isReady;
  }

  async ready(): Promise<void> {
    this.#checkInUse();
    await this.#client.ready(this);
  }

  async ping(): Promise<void> {
    await this.#run(() => this.#client.driver.ping());
  }

  async set(key: string, value: string, ttl: number): Promise<void> {
    await this.#run(() => this.#client.driver.set(key, value, ttl));
  }

  async take(key: string): Promise<string | null> {
    return this.#run(() => this.#client.driver.take(key));
  }

  async append(key: string, value: string, count: number, ttl: number): Promise<void> {
    await this.#run(() => this.#client.driver.append(key, value, count, ttl));
  }

  async remove(key: string, value: string): Promise<void> {
    await this.#run(() => this.#client.driver.remove(key, value));
  }

  async list(key: string): Promise<string[]> {
    return this.#run(() => this.#client.driver.list(key));
  }

  async publish(channel: string, payload: string): Promise<number> {
    return Number(await this.#run(() => this.#client.driver.publish(channel, payload)));
  }

  async subscribe(channel: string, listener: PayloadListener): Promise<void> {
    this.#checkInUse();
    await this.#client.subscriptions.subscribe(channel, listener, this);
  }

  async unsubscribe(channel: string, listener: PayloadListener): Promise<void> {
    await this.#client.subscriptions.unsubscribe(channel, listener);
  }

  listeners(channel: string): number {
    return this.#client.subscriptions.listeners(channel);
  }

  onReturn(listener: () => void): void {
    this.#client.onReturn(this, listener);
  }

  onError(listener: (error: unknown) => void): () => void {
    return this.#client.onError(this, listener);
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#client.release(this, released());
  }

  #run<T>(command: () => Promise<T>): Promise<T> {
    this.#checkInUse();
    return this.#client.run(this, command);
  }

  #checkInUse(): void {
    if (this.#released) throw released();
  }
}

/** What a command gets whose adapter has been released. */
export function released(): Error {
  return new Error("The Redis client is not in use any more");
}
