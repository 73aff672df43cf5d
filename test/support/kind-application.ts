import { Application, type ApplicationOptions } from "./application.js";
import type { Address, Kind } from "./redis-clients.js";

/**
 * Starts an application on two clients of one kind, which is ready. Several of one kind share the Redis, and the embedded
 * store. What ends it is added to `cleanups`, to be called from the last to the first.
 */
export async function startOn(
  kind: Kind,
  redis: Address,
  cleanups: (() => unknown)[],
  options: ApplicationOptions["options"] = {},
): Promise<Application> {
  const [redisClient, pubsubClient] = [kind.create(redis), kind.create(redis)];
  cleanups.push(() => Promise.all([redisClient.close(), pubsubClient.close()]));
  await Promise.all([redisClient.connect(), pubsubClient.connect()]);
  const application = await Application.start({
    redisClient: redisClient.client,
    pubsubClient: pubsubClient.client,
    options,
  });
  cleanups.push(() => application.stop());
  await application.tokenServer.ready();
  return application;
}
