import type * as ClientModule from "../../../lib/client/index.js";
import type { Actions, TokenSocket, TokenSocketOptions } from "../../../lib/client/index.js";

/** What a case is given; it is the same in Node.js and in a page. */
export interface Context {
  readonly TokenSocket: typeof TokenSocket;
  /** All that the client's module exports, the classes of its errors among it. */
  readonly errors: typeof ClientModule;
  /** What the server calls the transport that carries the clients. */
  readonly protocol: string;
  /** Connects a client to the server of the suite; it is ended after the case. */
  connect(options?: TokenSocketOptions, actions?: Actions): TokenSocket;
  /** A name that no other case has, for a channel or anything else that the server keeps. */
  unique(name: string): string;
  /** What the clients have logged. */
  readonly logged: { readonly errors: unknown[][]; readonly debug: unknown[][] };
}

/** One behaviour: its name is a sentence about the subject, and it throws where the client behaves otherwise. */
export interface Case {
  readonly name: string;
  run(context: Context): Promise<void>;
}

/** The cases about one thing. */
export interface Subject {
  readonly name: string;
  readonly cases: readonly Case[];
}

export function subject(name: string, cases: Record<string, Case["run"]>): Subject {
  return { name, cases: Object.entries(cases).map(([name, run]) => ({ name, run })) };
}

/** How the clients of a run are carried. */
export interface Transport {
  readonly name: string;
  readonly protocol: string;
  readonly options: TokenSocketOptions;
}

/** The whole suite is run over each of these. */
export const TRANSPORTS: readonly Transport[] = [
  { name: "a plain WebSocket", protocol: "websocket-raw", options: { sockjs: false } },
  ...["xhr-streaming", "xhr-polling"].map((transports) => ({
    name: `SockJS's ${transports}`,
    protocol: transports,
    // without that time SockJS gives a transport up after less than a second, which a busy machine may need
    options: { WebSocket: false as const, sockjs: { transports, timeout: 10_000 } },
  })),
];

/** Waits that cases can afford. */
const QUICK = { min: 10, max: 50 };

/** Runs a case, and ends its clients; rejects where it fails. */
export async function runCase(
  { run }: Case,
  { protocol, options: carried }: Transport,
  module: typeof ClientModule,
  place: TokenSocketOptions = {},
): Promise<void> {
  const clients: TokenSocket[] = [];
  const logged = { errors: [] as unknown[][], debug: [] as unknown[][] };
  const logger = {
    error: (...args: unknown[]) => logged.errors.push(args),
    debug: (...args: unknown[]) => logged.debug.push(args),
  };
  const connect = (options: TokenSocketOptions = {}, actions?: Actions) => {
    const client = new module.TokenSocket(
      { ...place, ...carried, backoff: QUICK, debug: true, logger, ...options },
      actions,
    );
    clients.push(client);
    return client;
  };
  const unique = (name: string) => `${name} ${Math.random().toString(36).slice(2)}`;
  try {
    await run({ TokenSocket: module.TokenSocket, errors: module, protocol, connect, unique, logged });
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}
