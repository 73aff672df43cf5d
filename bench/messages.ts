/** What the benchmark's processes tell each other. */

/**
 * Messages to publish in one turn of the event loop. They are numbered from `first` on, and number n goes to the channel
 * n modulo `channels`.
 */
export interface Batch {
  readonly first: number;
  readonly count: number;
  /** Bytes of the message as JSON. */
  readonly size: number;
  readonly channels: number;
}

/** How a contender's server is set up. */
export interface Setup {
  /** Absent for the embedded store. */
  readonly redis: number | undefined;
  /** How many functions the clients may call. */
  readonly functions: number;
  /** Whether each message goes through a filter for each socket. */
  readonly filter: boolean;
  /** Whether clients that come back get what they have missed. */
  readonly recovery?: boolean;
  /** Whether it is known who is in each channel: each client is a user of its own then. */
  readonly presence?: boolean;
  /** How many servers there are that a user may be connected to; the others have no sockets. */
  readonly servers?: number;
}

export type Order =
  | { readonly type: "usage" }
  | { readonly type: "memory" }
  /** Begin to watch the event loop, or end that. */
  | { readonly type: "watch" }
  | { readonly type: "publish"; readonly batch: Batch }
  /** Publish a batch again and again for so long, each time when the one before is taken, and tell when all is. */
  | { readonly type: "flood"; readonly batch: Batch; readonly milliseconds: number }
  /** Begin a CPU profile, or write the one that has begun into this file. */
  | { readonly type: "profile"; readonly file?: string }
  /** Call each client, so many times at once, for so long. */
  | { readonly type: "call"; readonly outstanding: number; readonly milliseconds: number };

export type Told =
  | { readonly type: "ready"; readonly port: number }
  /** Microseconds of CPU time since the start. */
  | { readonly type: "usage"; readonly cpu: number; readonly rss: number }
  /** Bytes, after collecting garbage. */
  | { readonly type: "memory"; readonly rss: number; readonly heap: number }
  /** The longest time for which the event loop stood still since it is watched, in milliseconds. */
  | { readonly type: "watched"; readonly longest: number }
  | { readonly type: "profiled" }
  | { readonly type: "published"; readonly messages: number }
  | { readonly type: "called"; readonly calls: number };

/** By what a message is found in what a socket receives: this, its number, and when it was published. */
export const MARK = "#";
export const NUMBER_DIGITS = 8;
const TIME_DIGITS = 14;

/** Microseconds by the clock that all processes of the machine share. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

/** A message as an object, whose JSON has so many bytes. */
export function makeMessage(number: number, size: number): { readonly m: string; readonly p: string } {
  const m = mark(number) + String(now()).padStart(TIME_DIGITS, "0");
  const filling = size - m.length - '{"m":"","p":""}'.length;
  return { m, p: "x".repeat(Math.max(0, filling)) };
}

export function mark(number: number): string {
  return MARK + String(number).padStart(NUMBER_DIGITS, "0");
}

export function channelOf(number: number, channels: number): string {
  return `channel-${number % channels}`;
}

/** Reads the number of decimal digits in a buffer. */
export function readDigits(buffer: Uint8Array, at: number, digits: number): number {
  let number = 0;
  for (let index = at; index < at + digits; index++) number = number * 10 + (buffer[index] ?? 0) - 48;
  return number;
}

/** When the message whose number is at this place was published. */
export function readTime(buffer: Uint8Array, at: number): number {
  return readDigits(buffer, at + NUMBER_DIGITS, TIME_DIGITS);
}
