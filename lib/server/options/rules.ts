import { isStandardSchema } from "../../shared/standard-schema.js";
import { isByChannel } from "../channels/by-channel.js";
import { isSlowReaderPolicy } from "../channels/slow-readers.js";
import { isOrigin } from "../http/origins.js";
import type { TokenSocketServerOptions } from "./options.js";

/** A rule for an option's values. */
export interface Rule {
  readonly expected: string;
  accepts(value: unknown): boolean;
}

const text: Rule = { expected: "a string", accepts: (value) => typeof value === "string" };
const path: Rule = {
  expected: 'a path that begins with "/"',
  accepts: (value) => typeof value === "string" && value.startsWith("/"),
};
const flag: Rule = { expected: "true or false", accepts: (value) => typeof value === "boolean" };
const milliseconds: Rule = { expected: "a positive number of milliseconds", accepts: isPositive };
export const bound: Rule = {
  expected: "a positive whole number",
  accepts: (value) => isPositive(value) && Number.isInteger(value),
};
const nested: Rule = { expected: "an object", accepts: isNested };
const fn: Rule = { expected: "a function", accepts: isFunction };

const WEB_SOCKET_OPTIONS: readonly string[] = ["perMessageDeflate", "handleProtocols"];

/** The rule for each option. */
const RULES: { readonly [Name in keyof TokenSocketServerOptions]-?: Rule } = {
  prefix: { expected: 'a string that begins with "/", or ""', accepts: (v) => v === "" || path.accepts(v) },
  tokenRoute: path,
  pubsubClient: {
    expected: "a Redis client",
    accepts: (value) => typeof value === "object" || isFunction(value),
  },
  channelPrefix: text,
  socketController: nested,
  channels: {
    expected: "an object of schemas by channels' names, with no * but at a name's end",
    accepts: (value) => isByChannel(value, isStandardSchema),
  },
  routes: nested,
  customMiddleware: {
    expected: "a middleware function or an array of them",
    accepts: (value) => isFunction(value) || (Array.isArray(value) && value.every(isFunction)),
  },
  authentication: {
    expected: "the name of a session property or a function",
    accepts: (value) => (typeof value === "string" && value !== "") || isFunction(value),
  },
  identify: fn,
  showIdentity: fn,
  verifyToken: fn,
  filter: fn,
  slowReaders: {
    expected:
      'an object of "close", "dropOldest", "latest" or { latest: a function } by channels\' names, with no * but at a name\'s end',
    accepts: (value) => isByChannel(value, isSlowReaderPolicy),
  },
  webSocket: {
    expected: "an object with perMessageDeflate and handleProtocols alone, as ws takes them",
    accepts: (value) =>
      isNested(value) && Object.keys(value as object).every((name) => WEB_SOCKET_OPTIONS.includes(name)),
  },
  heartbeat: {
    expected: "a positive number of milliseconds, or false",
    accepts: (value) => value === false || milliseconds.accepts(value),
  },
  ping: flag,
  debug: flag,
  logger: {
    expected: "a logger with the methods error, warn and info",
    accepts: (value) =>
      typeof value === "object" &&
      value !== null &&
      ["error", "warn", "info"].every((level) => isFunction((value as Record<string, unknown>)[level])),
  },
  exposeErrors: flag,
  tokenTtl: bound,
  tokenPrefix: text,
  tokenBinding: {
    expected: '"ip", "nonce" or false',
    accepts: (value) => value === "ip" || value === "nonce" || value === false,
  },
  authTimeout: milliseconds,
  allowedOrigins: {
    expected: 'a list of origins such as "https://example.com", a regular expression or a function',
    accepts: (value) =>
      value instanceof RegExp || isFunction(value) || (Array.isArray(value) && value.every(isOrigin)),
  },
  allowMissingOrigin: flag,
  verifyConnection: fn,
  jsonp: {
    expected: '"same-origin", a list of origins such as "https://example.com", or false',
    accepts: (value) =>
      value === false || value === "same-origin" || (Array.isArray(value) && value.every(isOrigin)),
  },
  serveClient: {
    expected: 'a path that begins with "/" and ends with ".js", or false',
    accepts: (value) => value === false || (path.accepts(value) && String(value).endsWith(".js")),
  },
  limits: { expected: "an object", accepts: isNested },
};

/** Checks one option's value, also where it is set on the server later. */
export function checkOption(name: keyof TokenSocketServerOptions, value: unknown): void {
  const rule = RULES[name];
  if (!rule.accepts(value))
    throw new TypeError(`options.${name} must be ${rule.expected}, not ${show(value)}`);
}

/** The names of all options. */
export function optionNames(): string[] {
  return Object.keys(RULES);
}

function isPositive(value: unknown): boolean {
  return typeof value === "number" && value > 0 && value <= Number.MAX_SAFE_INTEGER;
}

function isFunction(value: unknown): boolean {
  return typeof value === "function";
}

export function isNested(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value as messages name it. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
