import { BY_IDENTITY, DEFAULT_LIMITS, type Limits, MAY_BE_OFF } from "../limits/limits.js";
import type { ResolvedOptions, TokenSocketServerOptions } from "./options.js";
import { bound, checkOption, isNested, optionNames, show } from "./rules.js";

/** Connections of one address that may be unauthenticated in any case: a browser opens several. */
const LEAST_SHARE = 16;

/** Checks the options and fills in the defaults. Throws a `TypeError` that names the option. */
export function resolveOptions<Auth>(given: unknown): ResolvedOptions<Auth> {
  const options = readOptions(given, optionNames(), "TokenSocketServer") as Partial<ResolvedOptions<Auth>>;
  for (const [name, value] of Object.entries(options)) {
    checkOption(name as keyof TokenSocketServerOptions, value);
  }
  const {
    prefix = "/sockets",
    tokenRoute = "/socket/token",
    channelPrefix = "",
    tokenTtl = 30_000,
    tokenPrefix = `token-sockjs:${channelPrefix}${tokenRoute}:`,
  } = options;
  if (prefix !== "" && `${tokenRoute}/`.startsWith(`${prefix}/`)) {
    throw new TypeError(
      "options.tokenRoute must not lie below options.prefix, where SockJS answers all requests",
    );
  }
  const limits = resolveLimits(options.limits);
  for (const name of BY_IDENTITY) {
    if (limits[name] === Infinity || options.identify) continue;
    throw new TypeError(`options.limits.${name} needs options.identify, which tells identities apart`);
  }
  if (Object.keys(options.presence ?? {}).length > 0 && !options.identify) {
    throw new TypeError("options.presence needs options.identify, which tells identities apart");
  }
  return {
    pubsubClient: undefined,
    socketController: {},
    channels: {},
    routes: {},
    customMiddleware: undefined,
    authentication: "auth",
    identify: undefined,
    showIdentity: undefined,
    verifyToken: undefined,
    filter: undefined,
    slowReaders: {},
    history: {},
    presence: {},
    webSocket: {},
    heartbeat: 25_000,
    ping: false,
    debug: false,
    logger: console,
    exposeErrors: false,
    tokenBinding: false,
    authTimeout: tokenTtl,
    allowedOrigins: undefined,
    allowMissingOrigin: true,
    verifyConnection: undefined,
    jsonp: "same-origin",
    serveClient: "/socket/client.js",
    ...options,
    prefix,
    tokenRoute,
    channelPrefix,
    tokenTtl,
    tokenPrefix,
    limits,
  };
}

/** Gives the options that are there. Throws a `TypeError` for what is no object, and for names that are no option of `owner`. */
export function readOptions(
  given: unknown,
  names: readonly string[],
  owner: string,
): Record<string, unknown> {
  if (given !== undefined && given !== null && !isNested(given)) {
    throw new TypeError(`options must be an object, not ${show(given)}`);
  }
  const options = withoutAbsent(given ?? {});
  for (const name of Object.keys(options)) {
    if (!names.includes(name)) throw new TypeError(`options.${name} is no option of ${owner}`);
  }
  return options;
}

function resolveLimits(given: object | undefined): Limits {
  const limits = withoutAbsent(given ?? {});
  for (const [name, value] of Object.entries(limits)) {
    if (!Object.hasOwn(DEFAULT_LIMITS, name)) throw new TypeError(`options.limits.${name} is no limit`);
    if (!bound.accepts(value) && !(value === Infinity && MAY_BE_OFF.has(name))) {
      throw new TypeError(`options.limits.${name} must be ${bound.expected}, not ${show(value)}`);
    }
  }
  const { unauthenticatedConnections = DEFAULT_LIMITS.unauthenticatedConnections } =
    limits as Partial<Limits>;
  const unauthenticatedConnectionsPerIp = Math.max(LEAST_SHARE, Math.ceil(unauthenticatedConnections / 10));
  return { ...DEFAULT_LIMITS, unauthenticatedConnectionsPerIp, ...limits };
}

/** The options that are there, inherited ones included. */
function withoutAbsent(options: object): Record<string, unknown> {
  const present: Record<string, unknown> = {};
  for (const name in options) {
    const value: unknown = (options as Record<string, unknown>)[name];
    if (value !== undefined && value !== null) present[name] = value;
  }
  return present;
}
