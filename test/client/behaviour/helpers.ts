import type { State, TokenSocket, TokenSocketEvents } from "../../../lib/client/index.js";

/** Waits that no case lives to see the end of; `reauthenticate()` ends them. */
export const SLOW = { min: 1e8, max: 1e8 };

/** Waits for an event of a client. */
export function happened<E extends keyof TokenSocketEvents>(
  client: TokenSocket,
  event: E,
): Promise<TokenSocketEvents[E]> {
  return new Promise((resolve) => client.once(event, (...args) => resolve(args)));
}

/** Waits until a client is in a state; resolves with the reason. */
export async function inState(client: TokenSocket, wanted: State): Promise<Error | undefined> {
  while (client.state !== wanted) await happened(client, "state");
  return client.reason;
}

/** What a promise is rejected with. */
export async function failure(promise: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  try {
    await promise;
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  throw new Error("It was not rejected");
}

/** A promise, and what settles it. */
export function deferred<T = void>(): { promise: Promise<T>; resolve(value: T): void } {
  let settle: (value: T) => void = () => {};
  const promise = new Promise<T>((resolve) => {
    settle = resolve;
  });
  return { promise, resolve: (value) => settle(value) };
}

/** What a callback is called with; the callback is made by `run`'s argument. */
export function called(run: (callback: (...args: unknown[]) => void) => unknown): Promise<unknown[]> {
  return new Promise((resolve) => run((...args) => resolve(args)));
}

/** Collects what comes, and lets wait for a number of it. */
export class Collected<Item = unknown> {
  readonly items: Item[] = [];
  #wake: () => void = () => {};

  readonly add = (item: Item): void => {
    this.items.push(item);
    this.#wake();
  };

  async until(count: number): Promise<Item[]> {
    while (this.items.length < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.items;
  }
}

/** Has the server close a client's connection; resolves when the client has noticed. */
export async function drop(client: TokenSocket, code = 4999): Promise<void> {
  await failure(client.rpc("test.drop", code));
}

/** How many sockets of the server are in a channel. */
export function members(client: TokenSocket, channel: string): Promise<number> {
  return client.rpc<number>("test.members", channel);
}

/** What the server knows of a client. */
export interface Me {
  readonly sid: string;
  readonly protocol: string;
  readonly auth: {
    readonly method: string;
    readonly data: Record<string, unknown>;
    readonly sample?: string;
  };
}

export function me(client: TokenSocket): Promise<Me> {
  return client.rpc<Me>("test.me");
}
