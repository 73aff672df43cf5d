/** A request to Redis, in the words of its access rules (ACL). */
export interface Asked {
  /** The user of Redis; undefined where that is not known. */
  readonly user: string | undefined;
  /** The names of the commands, separated by spaces. */
  readonly commands: string;
  /** The pattern of the keys that such commands are about. */
  readonly keys?: string | undefined;
  /** The pattern of the channels that such commands are about. */
  readonly channels?: string | undefined;
  /** Whether the client has been connected to Redis before. */
  readonly hasBeenReady?: boolean;
}

/** An error of a Redis client or of Redis, with what to do about it. */
export class ExplainedError extends Error {
  readonly #advice: string;

  constructor(cause: Error, advice: string) {
    super(`${wordsOf(cause)}: ${advice}`, { cause });
    this.#advice = advice;
  }

  get advice(): string {
    return this.#advice;
  }
}

/** An error's message as a beginning. Where a key has moved to is another one for each key. */
function wordsOf({ message }: Error): string {
  return message.replace(/^(MOVED|ASK) .*/, "$1").replace(/[.\s]+$/, "");
}

/** Advice about errors, by what they begin with, or contain where no code begins them. */
const ADVICE: readonly (readonly [RegExp, string])[] = [
  [/^NOAUTH\b/, "Redis asks for a password: give the client `username` and `password`"],
  [/^WRONGPASS\b/, "the client's `username` or `password` is wrong, or that user is off"],
  [/^READONLY\b/, "this Redis is a replica: connect the client to the primary"],
  [
    /^(MOVED|ASK) /,
    "this Redis is one node of a cluster, and other nodes have the other keys: connect the client to a Redis that is no cluster",
  ],
  [/^OOM\b/, "Redis is full: raise its `maxmemory`, or find out what fills it"],
  [
    /^ERR .*(DB index is out of range|SELECT is not allowed in cluster mode)/,
    "the client's `database` (node-redis) or `db` (ioredis) is not one of this Redis, which counts them from 0",
  ],
  [/^ERR unknown command/, "Redis 6.2 or later is needed, and no proxy that keeps this command from it"],
  // the first byte of TLS's answer to what is no TLS
  [/"\\u0015"/, "this port speaks TLS: connect the client by `rediss://`, or with `tls`"],
  [
    /wrong version number|before secure TLS connection was established/,
    "this port may speak no TLS: connect the client by `redis://`, without `tls`",
  ],
];

/** A server that speaks TLS mostly just closes a connection that begins otherwise. */
const CLOSED = /^Socket closed unexpectedly|^Connection is closed|\bECONNRESET\b/;
const CLOSED_AT_ONCE =
  "if this goes on, the port may speak TLS alone: connect the client by `rediss://`, or with `tls`";

/** Gives an error that says what to do about another one, where that is known; otherwise the other one. */
export function explain(error: unknown, asked: Asked): unknown {
  if (!(error instanceof Error) || error instanceof ExplainedError) return error;
  const advice = isForbidden(error)
    ? `the server needs this right: ACL SETUSER ${asked.user ?? "<user>"} ${ruleFor(error.message, asked)}`
    : adviceFor(error.message, asked.hasBeenReady ?? true);
  return advice === undefined ? error : new ExplainedError(error, advice);
}

function adviceFor(message: string, hasBeenReady: boolean): string | undefined {
  if (!hasBeenReady && CLOSED.test(message)) return CLOSED_AT_ONCE;
  return ADVICE.find(([pattern]) => pattern.test(message))?.[1];
}

/** Whether an error is the answer of Redis to a command: such a one begins with a code, those of clients with a sentence. */
export function isAnswer(error: unknown): error is Error {
  return error instanceof Error && /^[A-Z]{2,}[ :]/.test(error.message);
}

/** Whether Redis has refused something that the client's user may not do, itself or by a script. */
export function isForbidden(error: Error): boolean {
  return /^NOPERM\b/.test(error.message) || isOfScript(error);
}

/** Whether Redis has refused a script something. It may not say which command. */
export function isOfScript(error: Error): boolean {
  return /ACL failure in script|user executing the script can't/.test(error.message);
}

/** The rule that allows what was refused. Redis says what it was: a command, a key or a channel; others may not. */
function ruleFor(message: string, { commands, keys, channels }: Asked): string {
  const named = /'([^']+)' (?:sub)?command/.exec(message)?.[1]?.toLowerCase();
  const needed = commands.split(" ");
  const ofCommands = named === undefined || needed.includes(named) ? needed : [named];
  const byKind: Readonly<Record<string, readonly string[]>> = {
    command: ofCommands.map((name) => `+${name}`),
    key: keys === undefined ? [] : [`~${keys}`],
    channel: channels === undefined ? [] : [`&${channels}`],
  };
  const kind = /\b(command|key|channel)s?\b/.exec(message)?.[1] ?? "";
  return (byKind[kind] ?? Object.values(byKind).flat()).join(" ");
}
