import { type RemoteError, remoteError } from "../../shared/call-errors.js";
import { isObject, type JsonObject } from "../../shared/protocol.js";

/** A frame from a server, parsed. An `error` that is there, whatever it is, means a failure; null is none. */
export type ServerFrame =
  | {
      readonly type: "reply";
      readonly id: number;
      readonly value: unknown;
      readonly error: RemoteError | undefined;
      /** Whether a stream is the answer. */
      readonly isStream: boolean;
    }
  | { readonly type: "item"; readonly id: number; readonly item: unknown }
  | { readonly type: "end"; readonly id: number; readonly error: RemoteError | undefined }
  | { readonly type: "call"; readonly fid: string; readonly command: string; readonly args: unknown }
  | {
      readonly type: "subscribe" | "unsubscribe";
      readonly channel: string;
      /** The request that it answers, where the server says so. */
      readonly id: unknown;
      /** The reason why the server has taken the channel back, if it gives one. */
      readonly error: RemoteError | undefined;
    }
  | { readonly type: "refresh" | "leave" }
  | {
      readonly type: "message";
      readonly channel: string;
      readonly message: unknown;
      /** The message's position, where the channel has a history. */
      readonly at: string | undefined;
      /** The time at which it was published, likewise. */
      readonly time: number;
    }
  | {
      readonly type: "presence";
      readonly channel: string;
      readonly frame: JsonObject;
      /** The reason why the server tells no more of the channel. */
      readonly error: RemoteError | undefined;
    }
  /** The end of a recovery that no request has asked for, or messages that were lost on the way. */
  | { readonly type: "recovered"; readonly channel: string; readonly frame: JsonObject };

/**
 * Parses what a server sent; gives undefined for what is unknown, and never throws. The value of a reply to `auth` is
 * what the server says of itself: one of version 3 returns what it was sent, but makes up no `server` of its own.
 */
export function parseServerFrame(text: unknown): ServerFrame | undefined {
  let frame: unknown;
  try {
    frame = typeof text === "string" && JSON.parse(text);
  } catch {}
  if (!isObject(frame)) return undefined;
  if (frame.internal === true) return parseCommand(frame.command, frame.data);
  const { uuid, rpc, resp, channel, message, stream, presence } = frame;
  const error = errorOf(frame);
  if (typeof uuid === "number") {
    const value = rpc === "auth" ? frame.server : resp;
    return { type: "reply", id: uuid, value, error, isStream: stream === true };
  }
  if (typeof stream === "number") {
    return "item" in frame
      ? { type: "item", id: stream, item: frame.item }
      : { type: "end", id: stream, error };
  }
  if (typeof presence === "string") return { type: "presence", channel: presence, frame, error };
  if (typeof channel !== "string") return undefined;
  const at = typeof frame.at === "string" ? frame.at : undefined;
  if ("message" in frame) return { type: "message", channel, message, at, time: Number(frame.time) };
  return at || "recovered" in frame ? { type: "recovered", channel, frame } : undefined;
}

function parseCommand(command: unknown, data: unknown): ServerFrame | undefined {
  if (!isObject(data)) return undefined;
  const { fid, channel, uuid } = data;
  if (command === "refresh" || command === "leave") return { type: command };
  if (command === "rpc" && typeof fid === "string" && typeof data.command === "string") {
    return { type: "call", fid, command: data.command, args: data.args };
  }
  if ((command === "subscribe" || command === "unsubscribe") && typeof channel === "string") {
    return { type: command, channel, id: uuid, error: errorOf(data) };
  }
  return undefined;
}

function errorOf({ error }: JsonObject): RemoteError | undefined {
  return error === undefined || error === null ? undefined : remoteError(error);
}
