/** Whether a client serves commands: `waiting` for its first connection, `ready`, or `ended` for good. */
export type ClientState = "waiting" | "ready" | "ended";

/** Callbacks for a client's events. */
export interface ClientEvents {
  /** The client is connected, for the first time or again. */
  ready(): void;
  /** The client has lost its connection, and goes for another one. */
  lost(): void;
  /** The client has been closed, or has given up. */
  ended(error: unknown): void;
  failed(error: unknown): void;
  message(channel: string, payload: string): void;
}

/** The parts of a client's own options that Redis sees. */
export interface ClientSettings {
  /** The user of Redis; undefined where that is not known. */
  readonly user: string | undefined;
  /** The prefix that the client puts before each key. */
  readonly keyPrefix: string;
}

/** The few commands and events that this library needs, in the words of one kind of client. */
export interface ClientDriver {
  /** The client's state as far as it shows. */
  state(): ClientState;
  settings(): ClientSettings;
  /** Begins to listen to the client. */
  attach(): void;
  /** Takes away every listener that `attach` has added. */
  detach(): void;
  ping(): Promise<unknown>;
  set(key: string, value: string, ttl: number): Promise<unknown>;
  take(key: string): Promise<string | null>;
  push(key: string, value: string): Promise<unknown>;
  /** Leaves the newest `count` values in a list. */
  trim(key: string, count: number): Promise<unknown>;
  expire(key: string, ttl: number): Promise<unknown>;
  remove(key: string, value: string): Promise<unknown>;
  list(key: string): Promise<string[]>;
  publish(channel: string, payload: string): Promise<unknown>;
  subscribe(channels: readonly string[]): Promise<unknown>;
  unsubscribe(channels: readonly string[]): Promise<unknown>;
  /** `EVAL text numkeys key [key ...] arg [arg ...]` */
  evaluate(text: string, keys: readonly string[], args: readonly string[]): Promise<string[]>;
  /** `EVALSHA sha numkeys key [key ...] arg [arg ...]` */
  evaluateKnown(sha: string, keys: readonly string[], args: readonly string[]): Promise<string[]>;
  /** `INFO memory` */
  info(): Promise<string | null>;
}

/** A value as a client gives it: a string, or bytes where its owner has asked for bytes. */
export function toText(value: unknown): string | null {
  return value === null || value === undefined ? null : String(value);
}

/** Likewise, several. */
export function toTexts(values: unknown): string[] {
  return Array.isArray(values) ? values.map(String) : [];
}

/** Reads the options that each kind of client shows as `options`. */
export function settingsOf(client: object): ClientSettings {
  const { options } = client as { options?: Readonly<Record<string, unknown>> };
  const { username, password, credentialsProvider, keyPrefix } = options ?? {};
  const isProvided = Boolean(credentialsProvider) && !password;
  return {
    user: username ? String(username) : isProvided ? undefined : "default",
    keyPrefix: keyPrefix ? String(keyPrefix) : "",
  };
}

/** Calls a function and gives its promise; what it throws is a rejection. */
export function attempt<T>(act: () => Promise<T>): Promise<T> {
  try {
    return act();
  } catch (error) {
    return Promise.reject(error);
  }
}
