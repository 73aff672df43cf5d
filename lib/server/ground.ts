import type { Express } from "express";
import { Notices } from "./events/notices.js";
import { checkApp } from "./http/router.js";
import { Reporter } from "./log/reporter.js";
import type { ResolvedOptions } from "./options/options.js";
import { resolveOptions } from "./options/resolve.js";
import { warnOfUncallable } from "./options/uncallable.js";
import type { RedisClient } from "./redis/adapt.js";
import { RedisClients } from "./redis/clients.js";
import type { TokenSocketServer } from "./rpc/controller.js";
import { checkSocketServer } from "./transport/connections.js";
import type { SockJSServer } from "./transport/socket.js";

/** The arguments of a server. */
export interface Given {
  readonly app: Express;
  readonly redisClient: RedisClient;
  readonly socketServer: SockJSServer;
  readonly options: unknown;
}

/** The ground that most parts stand on. */
export interface Ground<Auth> {
  readonly server: TokenSocketServer<Auth>;
  readonly given: Given;
  readonly options: ResolvedOptions<Auth>;
  readonly redis: RedisClients;
  readonly reporter: Reporter;
  readonly notices: Notices<Auth>;
}

/** Checks what a server is given, and throws a `TypeError` where something is missing or wrong. */
export function layGround<Auth>(server: TokenSocketServer<Auth>, given: Given): Ground<Auth> {
  checkApp(given.app);
  checkSocketServer(given.socketServer);
  const options = resolveOptions<Auth>(given.options);
  const { pubsubClient, limits } = options;
  const redis = new RedisClients(given.redisClient, pubsubClient, options, limits.redisTimeout);
  const reporter: Reporter = new Reporter(options.logger, options.debug, (...args) => notices.error(...args));
  const notices = new Notices<Auth>(server, reporter);
  redis.onError((error) => reporter.outage("a Redis client's error", error));
  for (const name of ["socketController", "routes"] as const) warnOfUncallable(name, options[name], reporter);
  return { server, given, options, redis, reporter, notices };
}
