import { parseSelection, type Selection, toSelection } from "../auth/selectors.js";
import { checkChannel } from "../channels/pubsub.js";
import type { Limits } from "../limits/limits.js";

/** A target as servers tell it each other. */
export type SocketTarget = Selection | { readonly by: "channel"; readonly value: string };

/** Reads a target; a socket is one, too. Throws a `TypeError` for what is none, since nothing may mean everybody. */
export function toTarget(target: unknown, limits: Limits): SocketTarget {
  const { sid, identity, sessionId, channel } = Object(target) as Record<string, unknown>;
  const isOther = [sid, identity, sessionId].some((value) => value !== undefined);
  if (channel === undefined || isOther)
    return toSelection(target, "a socket, { sid }, { identity }, { sessionId } or { channel }");
  checkChannel(channel as string, limits);
  return { by: "channel", value: channel as string };
}

/** Reads what another server has sent; undefined for what is no target. */
export function parseTarget(data: Record<string, unknown>): SocketTarget | undefined {
  const { by, value } = data;
  if (by === "channel") return typeof value === "string" && value !== "" ? { by, value } : undefined;
  return parseSelection(data);
}
