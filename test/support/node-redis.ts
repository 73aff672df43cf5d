import { createClient, type RedisClientOptions } from "redis";

export type NodeRedis = ReturnType<typeof makeNodeRedis>;

/** A time that nothing here takes, in milliseconds. */
const AGES = 600_000;

/** To make a client's class, with a method for each command, takes longer than to make a client. */
const model = createClient();

/** A client of node-redis that is not connected yet; the test connects and closes it. */
export function makeNodeRedis(options: Pick<RedisClientOptions, "url" | "socket" | "commandOptions">) {
  return model.duplicate(options);
}

/**
 * A client of node-redis that is connected; the test closes it. By node-redis's default a command is given up after five
 * seconds, with an error that has no message; a `patient` client waits.
 */
export async function connectNodeRedis(url: string, { patient = false } = {}): Promise<NodeRedis> {
  const client = makeNodeRedis({ url, ...(patient && { commandOptions: { timeout: AGES } }) });
  client.on("error", () => {});
  await client.connect();
  return client;
}
