/** A server with presence in a process of its own, with short times where it is told some. */
import type { AddressInfo } from "node:net";
import { createClient } from "redis";
import type { PresenceMember } from "../../lib/index.js";
import { PRESENCE_TIMES } from "../../lib/server/presence/presence-times.js";
import { TIMES as REGISTRY_TIMES } from "../../lib/server/registry/registry.js";
import { Application } from "../support/application.js";
import { endWithTests, serveFunctions } from "../support/served-functions.js";

endWithTests();

const { REDIS_URL = "", GRACE = "15000", REGISTRY_INTERVAL, SETTLE, COLLECT } = process.env;

if (REGISTRY_INTERVAL) {
  const interval = Number(REGISTRY_INTERVAL);
  Object.assign(REGISTRY_TIMES, { interval, overdueAfter: 1.5 * interval, deadAfter: 3 * interval });
}
if (SETTLE) Object.assign(PRESENCE_TIMES, { settle: Number(SETTLE) });
if (COLLECT) Object.assign(PRESENCE_TIMES, { collect: Number(COLLECT) });

async function connectRedis() {
  const client = createClient({ url: REDIS_URL, socket: { reconnectStrategy: 20 } });
  client.on("error", () => {});
  await client.connect();
  return client;
}

const clients = [await connectRedis(), await connectRedis()];
const application = new Application({
  redisClient: clients[0] as never,
  pubsubClient: clients[1] as never,
  session: null,
  options: {
    authentication: (req) => ({ name: `${req.query.name}` }),
    identify: ({ name }) => `${name}`,
    presence: { "room:*": { info: ({ name }) => ({ name }), grace: Number(GRACE) } },
  },
});
const { tokenServer, http } = application;
const notices: [event: string, id: string][] = [];
for (const event of ["joined", "left", "updated"] as const) {
  tokenServer.on(event, (_channel: string, { id }: PresenceMember) => notices.push([event, id]));
}
await tokenServer.ready();
await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));

const functions = {
  url: (): string => `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
  members: async (channel: string): Promise<readonly PresenceMember[]> =>
    (await tokenServer.presence(channel)).members,
  notices: (): [event: string, id: string][] => notices,
  servers: async (): Promise<number> => (await tokenServer.servers()).length,
  disconnect: (identity: string): Promise<number> => tokenServer.disconnect({ identity }),
  drain: (timeout: number): Promise<void> => tokenServer.drain({ timeout }),
};

export type MemberServerFunctions = typeof functions;

const leave = serveFunctions(functions);

process.once("SIGTERM", async () => {
  await tokenServer.shutdown();
  http.close();
  http.closeAllConnections();
  for (const client of clients) client.destroy();
  leave();
});
