import { createClient } from "redis";

export type NodeRedis = ReturnType<typeof makeClient>;

function makeClient(url: string) {
  return createClient({ url });
}

/** A client of node-redis that is connected; the test closes it. */
export async function connectNodeRedis(url: string): Promise<NodeRedis> {
  const client = makeClient(url);
  client.on("error", () => {});
  await client.connect();
  return client;
}
