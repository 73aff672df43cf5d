/** What the run and its server tell each other. */
import type { Sample } from "../measured/sample.js";

/** The channels that silent sockets are in, each by its policy, and one that has none of them. */
export const POLICIES = ["close", "dropOldest", "latest"] as const;
export type Policy = (typeof POLICIES)[number];
export const PROMPT = "prompt";

/** Memory in bytes, and how many sockets there are in the channels. */
export interface State {
  readonly rss: number;
  readonly heap: number;
  readonly external: number;
  readonly sockets: Readonly<Record<Policy, number>>;
  /** Messages that were published on the channel that has no silent sockets. */
  readonly published: number;
}

/** `publish` and `calm` begin and end what is published. */
export type Order = "sample" | "state" | "publish" | "calm" | "stop";

export type Told =
  | { readonly type: "url"; readonly url: string }
  | { readonly type: "sample"; readonly sample: Sample }
  | { readonly type: "state"; readonly state: State };

/** Microseconds of a clock that all processes of this machine share. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
