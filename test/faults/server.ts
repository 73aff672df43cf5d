/** A server in a process of its own, which tells that of the tests what it sees. All that is not said here is as by default. */
import type { AddressInfo } from "node:net";
import { Redis as IORedis } from "ioredis";
import { createClient } from "redis";
import type { Health, Identity, RedisClient } from "../../lib/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { Application } from "../support/application.js";
import { endWithTests, now, serveFunctions } from "../support/served-functions.js";

/** That a socket has closed. */
export interface Closing {
  readonly name: string;
  readonly protocol: string;
  /** As `now()` gives it. */
  readonly at: number;
}

/** The answers of an identity's clients on all servers. */
export interface Asked {
  /** By the ids of servers: what the client there has answered, or the name of the error. */
  readonly values: Record<string, unknown>;
  readonly missing: string[];
  /** Whether they were there before any server could have been given up. */
  readonly isQuick: boolean;
}

/** Less than the time for which a server that is silent is waited for, in milliseconds. */
const QUICK = 900;

endWithTests();

const { NAME, HOST = "127.0.0.1", REDIS_URL, REDIS_CLIENT = "node-redis", SOCKET_TIMEOUT } = process.env;

/** How long a Redis client lets its connection be silent. After that node-redis comes back only where it is told to. */
const socketTimeout = Number(SOCKET_TIMEOUT);
const impatience = socketTimeout ? { socketTimeout, reconnectStrategy: 500 } : {};

const redisClients: { client: RedisClient; close: () => void }[] = [];

async function connectRedis(url: string): Promise<RedisClient> {
  if (REDIS_CLIENT === "ioredis") {
    const client = new IORedis(url, socketTimeout ? { socketTimeout } : {});
    redisClients.push({ client, close: () => client.disconnect() });
    return client;
  }
  const client = createClient({ url, socket: impatience });
  client.on("error", () => {});
  await client.connect();
  redisClients.push({ client, close: () => client.destroy() });
  return client;
}

const closings: Closing[] = [];
const unhandled: string[] = [];
process.on("unhandledRejection", (reason) => unhandled.push(String(reason)));

const redisClient = REDIS_URL ? await connectRedis(REDIS_URL) : memoryRedis();
const application = new Application({
  redisClient,
  pubsubClient: REDIS_URL ? await connectRedis(REDIS_URL) : redisClient,
  session: null,
  sockjs: { disconnect_delay: 5000 },
  options: {
    authentication: (req) => ({ name: `${req.query.name}` }),
    identify: ({ name }) => `${name}`,
    socketController: { echo: async (_auth, data) => data, where: async () => NAME },
  },
});
const { tokenServer, http } = application;
tokenServer.on("disconnect", (socket) => {
  const { auth } = socket as Partial<Identity>;
  closings.push({ name: `${auth?.name}`, protocol: socket.protocol, at: now() });
});
await tokenServer.ready();
await new Promise<void>((resolve) => http.listen(0, HOST, resolve));

const functions = {
  url: (): string => `http://${HOST}:${(http.address() as AddressInfo).port}`,
  health: (): Health => tokenServer.health(),
  publish: (channel: string, data: unknown): Promise<string | undefined> =>
    tokenServer.publish(channel, data),
  /** Gives how many, or the error's message. */
  disconnect: (identity: string): Promise<number | string> =>
    tokenServer.disconnect({ identity }).catch((error: Error) => error.message),
  /** Calls a function of an identity's clients on all servers; gives what each server's have answered, and who is missing. */
  async ask(identity: string, timeout: number): Promise<Asked> {
    let isQuick = true;
    const timer = setTimeout(() => {
      isQuick = false;
    }, QUICK);
    const { answers, missing } = await tokenServer.to({ identity }).rpc("whoami", undefined, { timeout });
    clearTimeout(timer);
    const values = answers.map(({ server, value, error }): [string, unknown] => [
      server,
      error?.name ?? value,
    ]);
    return { values: Object.fromEntries(values), missing: [...missing], isQuick };
  },
  /** The first `count` sockets that have closed, as soon as they have. */
  async closings(count: number): Promise<Closing[]> {
    while (closings.length < count) await new Promise((resolve) => tokenServer.once("disconnect", resolve));
    return closings;
  },
  /** Gives Redis a command, which has to be one that answers with text, in a server with node-redis. */
  redis: (...command: string[]): Promise<string> =>
    (redisClient as ReturnType<typeof createClient>).sendCommand<string>(command),
  /** What nobody was there to be told of. */
  unhandled: (): string[] => unhandled,
};

export type ServerFunctions = typeof functions;

const leave = serveFunctions(functions);

process.once("SIGTERM", async () => {
  await tokenServer.shutdown();
  http.close();
  http.closeAllConnections();
  for (const { close } of redisClients) close();
  leave();
});
