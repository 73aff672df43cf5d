import { isChannelName, isObject, isReservedChannel, type JsonObject } from "../../shared/protocol.js";
import { isCloseReason } from "../auth/selectors.js";
import type { Limits } from "../limits/limits.js";
import { parseTarget, type SocketTarget } from "./target.js";

/** What a server is to do with the sockets of a target. */
export type Action =
  | { readonly type: "send"; readonly channel: string; readonly message: unknown }
  | {
      readonly type: "rpc";
      readonly command: string;
      readonly args: unknown;
      /** Milliseconds; absent for no limit. */
      readonly timeout?: number | undefined;
    }
  | { readonly type: "subscribe" | "unsubscribe"; readonly channel: string }
  | { readonly type: "refresh" | "count" }
  | { readonly type: "disconnect"; readonly code: number; readonly reason: string }
  | {
      readonly type: "find";
      readonly limit: number;
      /** The `sid` after which the page begins. */
      readonly after: string;
    };

/** The most sockets of one page of `find()`. */
export const MOST_FOUND = 1_000;

/** A request to the servers that have sockets of a target. */
export interface ClusterRequest {
  readonly id: string;
  /** The server that asks. */
  readonly answerTo: string;
  readonly target: SocketTarget;
  readonly action: Action;
}

/** Encodes a request; throws a `TypeError` for what is no JSON. */
export function encodeRequest({ id, answerTo, target, action }: ClusterRequest): string {
  return JSON.stringify({ command: "to", id, origin: answerTo, answerTo, data: { ...target, action } });
}

/** Parses what another server has sent; undefined for what is no request, or one of a newer server. */
export function parseRequest({ id, answerTo, data }: JsonObject, limits: Limits): ClusterRequest | undefined {
  if (typeof id !== "string" || typeof answerTo !== "string" || !isObject(data)) return undefined;
  const target = parseTarget(data);
  const action = isObject(data.action) ? parseAction(data.action, limits) : undefined;
  return target && action && { id, answerTo, target, action };
}

function parseAction(action: JsonObject, limits: Limits): Action | undefined {
  const { type, channel, message, command, args, timeout, limit, after } = action;
  switch (type) {
    case "send":
      return isOpenChannel(channel, limits) && message !== undefined ? { type, channel, message } : undefined;
    case "subscribe":
    case "unsubscribe":
      return isOpenChannel(channel, limits) ? { type, channel } : undefined;
    case "rpc":
      if (typeof command !== "string" || command === "") return undefined;
      return {
        type,
        command,
        args,
        timeout: typeof timeout === "number" && timeout > 0 ? timeout : undefined,
      };
    case "refresh":
    case "count":
      return { type };
    case "disconnect":
      return isCloseReason(action) ? { type, code: action.code, reason: action.reason } : undefined;
    case "find":
      if (!Number.isSafeInteger(limit) || Number(limit) < 1 || Number(limit) > MOST_FOUND) return undefined;
      return typeof after === "string" ? { type, limit: Number(limit), after } : undefined;
    // Stryker disable next-line ConditionalExpression: the end of a function gives undefined, too
    default:
      return undefined;
  }
}

function isOpenChannel(channel: unknown, limits: Limits): channel is string {
  return isChannelName(channel, limits) && !isReservedChannel(channel);
}
