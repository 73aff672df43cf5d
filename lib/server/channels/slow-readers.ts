import { isThenable } from "../../shared/answer.js";
import { watchPromise } from "../../shared/promises.js";
import type { Reporter } from "../log/reporter.js";
import type { Droppable } from "../transport/send-queue.js";
import type { ByChannel } from "./by-channel.js";

/**
 * The policy for a channel's messages to a socket that reads too slowly:
 * - `"close"`: they all wait, and a socket for which too much waits is closed
 * - `"dropOldest"`: the oldest of them are dropped
 * - `"latest"`: only the newest one waits
 * - `{ latest }`: only the newest one of each key waits; the function gives a message's key
 */
export type SlowReaderPolicy = "close" | "dropOldest" | "latest" | { latest(message: unknown): unknown };

/** Says how messages may be dropped. */
export class SlowReaders {
  readonly #policies: ByChannel<SlowReaderPolicy>;
  readonly #reporter: Reporter;

  constructor(policies: ByChannel<SlowReaderPolicy>, reporter: Reporter) {
    this.#policies = policies;
    this.#reporter = reporter;
  }

  /** Says how a message, in JSON, may be dropped; nothing where it may not. */
  droppable(channel: string, json: string): Droppable | undefined {
    const policy = this.#policies.get(channel);
    if (policy === undefined || policy === "close") return undefined;
    if (policy === "dropOldest") return { key: undefined };
    if (policy === "latest") return { key: channel };
    try {
      const key = policy.latest(JSON.parse(json));
      if (isThenable(key)) {
        watchPromise(key, () => {});
        throw new TypeError("latest must be synchronous; it returned a promise");
      }
      // a channel's name holds no line break, so keys of two channels never meet
      return { key: `${channel}\n${String(key)}` };
    } catch (error) {
      this.#reporter.error(`the key of a message on ${JSON.stringify(channel)} could not be told`, error);
      return { key: undefined };
    }
  }
}

/** Says whether a value is a policy. */
export function isSlowReaderPolicy(value: unknown): value is SlowReaderPolicy {
  if (typeof value !== "object" || value === null) {
    return value === "close" || value === "dropOldest" || value === "latest";
  }
  return typeof (value as { latest?: unknown }).latest === "function";
}
