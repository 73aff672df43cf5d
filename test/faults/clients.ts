/** Clients in a process of their own, which does what that of the tests asks for. */
import { ConnectionError, type State, TokenSocket, type TokenSocketOptions } from "../../lib/client/index.js";
import { endWithTests, now, serveFunctions } from "../support/served-functions.js";
import { openRawSession } from "./raw-session.js";

/** How a call or a request has ended. */
export interface Outcome {
  readonly value?: unknown;
  readonly error?: string;
  /** Milliseconds that it took. */
  readonly took: number;
}

/** A state that a client has come to. */
export interface Change {
  readonly state: State;
  /** The close code, or the status of the token route. */
  readonly status?: number | undefined;
  /** As `now()` gives it. */
  readonly at: number;
}

/** How often a client under load makes a call, in milliseconds. */
const PAUSE = 50;

class Client {
  readonly socket: TokenSocket;
  readonly changes: Change[] = [];
  readonly messages: unknown[] = [];
  readonly load: Outcome[] = [];
  isLoaded = true;

  constructor(name: string, url: string, options: TokenSocketOptions) {
    this.socket = new TokenSocket({ host: url, authentication: { name }, ...options });
    this.socket.on("message", (_channel, message) => this.messages.push(message));
    this.socket.on("state", (state, _previous, reason) => {
      const status = reason instanceof ConnectionError ? reason.status : undefined;
      this.changes.push({ state, status, at: now() });
    });
  }
}

endWithTests();

const clients = new Map<string, Client>();
const unhandled: string[] = [];
process.on("unhandledRejection", (reason) => unhandled.push(String(reason)));

function clientOf(name: string): Client {
  const client = clients.get(name);
  if (!client) throw new Error(`There is no client ${name}`);
  return client;
}

async function timed(act: () => Promise<unknown>): Promise<Outcome> {
  const begin = now();
  try {
    return { value: await act(), took: now() - begin };
  } catch (error) {
    return { error: `${(error as Error).name}: ${(error as Error).message}`, took: now() - begin };
  }
}

const functions = {
  /** Connects a client and lets it join "room". */
  async connect(name: string, url: string, options: TokenSocketOptions = {}): Promise<void> {
    const client = new Client(name, url, options);
    clients.set(name, client);
    await client.socket.subscribe("room");
  },
  /** Connects without the client of this library. */
  connectRaw: openRawSession,
  call: (name: string, path: string, data?: unknown): Promise<Outcome> =>
    timed(() => clientOf(name).socket.rpc(path, data)),
  publish: (name: string, channel: string, data: unknown): Promise<Outcome> =>
    timed(() => clientOf(name).socket.publish(channel, data)),
  subscribe: (name: string, channel: string): Promise<Outcome> =>
    timed(() => clientOf(name).socket.subscribe(channel)),
  /** The status of the token route. */
  token: (url: string): Promise<Outcome> =>
    timed(async () => (await fetch(`${url}/socket/token?name=token`)).status),
  /** When a message has come; it may have come before. */
  async message(name: string, message: unknown): Promise<number> {
    const { socket, messages } = clientOf(name);
    while (!messages.includes(message)) await new Promise((resolve) => socket.once("message", resolve));
    return now();
  },
  /** The first change to a state since the client was connected; it may be to come. */
  async change(name: string, state: State): Promise<Change> {
    const { socket, changes } = clientOf(name);
    // what `connect` waited for is no change
    const find = () => changes.slice(1).find((change) => change.state === state);
    for (;;) {
      const found = find();
      if (found) return found;
      await new Promise((resolve) => socket.once("state", resolve));
    }
  },
  /** Lets a client make one call after the other; gives what came of them when `stopLoad` is called. */
  async load(name: string): Promise<Outcome[]> {
    const client = clientOf(name);
    while (client.isLoaded) {
      client.load.push(await timed(() => client.socket.rpc("echo", 1)));
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    return client.load;
  },
  stopLoad(): void {
    for (const client of clients.values()) client.isLoaded = false;
  },
  /** What nobody was there to be told of. */
  unhandled: (): string[] => unhandled,
};

export type ClientFunctions = typeof functions;

serveFunctions(functions);
// what it holds open are connections that nobody needs any more
process.once("SIGTERM", () => process.exit(0));
