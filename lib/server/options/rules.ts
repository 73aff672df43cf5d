import { isStandardSchema } from "../../shared/standard-schema.js";
import { isByChannel } from "../channels/by-channel.js";
import { isSlowReaderPolicy } from "../channels/slow-readers.js";
import { EXPECTED_HISTORY, isChannelHistory, wrongField } from "../history/history-option.js";
import { isOrigin } from "../http/origins.js";
import { EXPECTED_PRESENCE, isChannelPresence, wrongPresenceField } from "../presence/presence-option.js";
import type { TokenSocketServerOptions } from "./options.js";

/** A rule for an option's values. */
export interface Rule {
  readonly expected: string;
  accepts(value: unknown): boolean;
  /** Says which part of a value that is not accepted is wrong; undefined where it is the value itself. */
  faultIn?(path: string, value: unknown): string | undefined;
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

const origin: Rule = { expected: 'an origin such as "https://example.com"', accepts: isOrigin };
const schema: Rule = { expected: "a schema (Standard Schema)", accepts: isStandardSchema };
const slowReaderPolicy: Rule = {
  expected: '"close", "dropOldest", "latest" or { latest: a function }',
  accepts: isSlowReaderPolicy,
};

const channelHistory: Rule = {
  expected: EXPECTED_HISTORY,
  accepts: isChannelHistory,
  faultIn: faultInField(wrongField),
};

const channelPresence: Rule = {
  expected: EXPECTED_PRESENCE,
  accepts: isChannelPresence,
  faultIn: faultInField(wrongPresenceField),
};

const WEB_SOCKET_OPTIONS: readonly string[] = ["perMessageDeflate", "handleProtocols"];
const LOGGER_METHODS: readonly string[] = ["error", "warn", "info"];

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
    accepts: (value) => isByChannel(value, schema.accepts),
    faultIn: faultByChannel(schema),
  },
  routes: nested,
  customMiddleware: {
    expected: "a middleware function or an array of them",
    accepts: (value) => isFunction(value) || (Array.isArray(value) && value.every(isFunction)),
    faultIn: faultInList(fn),
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
    expected: "an object of policies by channels' names, with no * but at a name's end",
    accepts: (value) => isByChannel(value, slowReaderPolicy.accepts),
    faultIn: faultByChannel(slowReaderPolicy),
  },
  history: {
    expected: "an object of { size, ttl, positionTtl? } by channels' names, with no * but at a name's end",
    accepts: (value) => isByChannel(value, channelHistory.accepts),
    faultIn: faultByChannel(channelHistory),
  },
  presence: {
    expected: `an object of ${EXPECTED_PRESENCE} by channels' names, with no * but at a name's end`,
    accepts: (value) => isByChannel(value, channelPresence.accepts),
    faultIn: faultByChannel(channelPresence),
  },
  webSocket: {
    expected: "an object with perMessageDeflate and handleProtocols alone, as ws takes them",
    accepts: (value) =>
      isNested(value) && Object.keys(value as object).every((name) => WEB_SOCKET_OPTIONS.includes(name)),
    faultIn: (where, value) => {
      const wrong = keysOf(value).find((name) => !WEB_SOCKET_OPTIONS.includes(name));
      if (wrong === undefined) return undefined;
      const instead = wrong === "maxPayload" ? "; see limits.messageBytes" : "";
      return `${at(where, wrong)} is no option of webSocket, which takes ${WEB_SOCKET_OPTIONS.join(" and ")}${instead}`;
    },
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
      LOGGER_METHODS.every((name) => isFunction((value as Record<string, unknown>)[name])),
    faultIn: (where, value) => {
      if (!isNested(value)) return undefined;
      const missing = LOGGER_METHODS.filter((name) => !isFunction((value as Record<string, unknown>)[name]));
      const verb = missing.length > 1 ? "are" : "is";
      return `${where} must have the methods error, warn and info; ${missing.join(", ")} ${verb} missing`;
    },
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
    faultIn: faultInList(origin),
  },
  allowMissingOrigin: flag,
  verifyConnection: fn,
  jsonp: {
    expected: '"same-origin", a list of origins such as "https://example.com", or false',
    accepts: (value) =>
      value === false || value === "same-origin" || (Array.isArray(value) && value.every(isOrigin)),
    faultIn: faultInList(origin),
  },
  serveClient: {
    expected: 'a path that begins with "/" and ends with ".js", or false',
    accepts: (value) => value === false || (path.accepts(value) && String(value).endsWith(".js")),
  },
  limits: { expected: "an object", accepts: isNested },
};

/** Checks one option's value, also where it is set on the server later. */
export function checkOption(name: keyof TokenSocketServerOptions, value: unknown): void {
  const fault = faultOf(`options.${name}`, value, RULES[name]);
  if (fault !== undefined) throw new TypeError(fault);
}

/** Says what is wrong with the value at a path, where a rule does not accept it. */
function faultOf(path: string, value: unknown, rule: Rule): string | undefined {
  if (rule.accepts(value)) return undefined;
  return rule.faultIn?.(path, value) ?? `${path} must be ${rule.expected}, not ${show(value)}`;
}

function faultInList(rule: Rule): NonNullable<Rule["faultIn"]> {
  return (where, value) => {
    if (!Array.isArray(value)) return undefined;
    const wrong = value.findIndex((item) => !rule.accepts(item));
    return faultOf(`${where}[${wrong}]`, value[wrong], rule);
  };
}

function faultInField(wrong: typeof wrongField): NonNullable<Rule["faultIn"]> {
  return (where, value) => {
    const fault = wrong(value);
    if (!fault) return undefined;
    return `${at(where, fault.name)} ${fault.must}; it is ${show((value as Record<string, unknown>)[fault.name])}`;
  };
}

function faultByChannel(rule: Rule): NonNullable<Rule["faultIn"]> {
  return (where, value) => {
    for (const name of keysOf(value)) {
      const item = (value as Record<string, unknown>)[name];
      if (!isByChannel({ [name]: item }, () => true)) {
        return `${at(where, name)} must have a channel's name, with no * but at its end`;
      }
      const fault = faultOf(at(where, name), item, rule);
      if (fault !== undefined) return fault;
    }
    return undefined;
  };
}

/** The names of an object's own properties; none for other values. */
function keysOf(value: unknown): string[] {
  return isNested(value) ? Object.keys(value as object) : [];
}

/** The path of a property, as JavaScript has it. */
export function at(path: string, name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`;
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
  if (typeof value === "function") return "a function";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
