import { isObject, PROTOCOL, type Protocol } from "../shared/protocol.js";

/** A frame from a server, parsed. */
export type ServerFrame =
  /** An `error` that is there, whatever it is, means a failure; `null` and undefined are none. */
  | {
      readonly type: "reply";
      readonly id: string;
      readonly value: unknown;
      readonly error: unknown;
      /** Whether a stream is the answer. */
      readonly isStream: boolean;
    }
  | { readonly type: "item"; readonly id: string; readonly item: unknown }
  | { readonly type: "end"; readonly id: string; readonly error: unknown }
  | { readonly type: "call"; readonly fid: string; readonly command: string; readonly args: unknown }
  | {
      readonly type: "subscribed" | "unsubscribed";
      readonly channel: string;
      /** The request that it answers, where the server says so. */
      readonly id: unknown;
    }
  | { readonly type: "message"; readonly channel: string; readonly message: unknown }
  | { readonly type: "unknown" };

const UNKNOWN: ServerFrame = { type: "unknown" };

/** Parses what a server sent; never throws. The value of a reply to `auth` is the protocol spoken from then on. */
export function parseServerFrame(text: unknown): ServerFrame {
  let frame: unknown;
  try {
    frame = typeof text === "string" ? JSON.parse(text) : undefined;
  } catch {
    return UNKNOWN;
  }
  if (!isObject(frame)) return UNKNOWN;
  if (frame.internal === true) return parseCommand(frame.command, frame.data);
  const { uuid, rpc, resp, error, channel, message, stream } = frame;
  if (typeof uuid === "string") {
    const value = rpc === "auth" ? protocolOf(frame.server) : resp;
    return { type: "reply", id: uuid, value, error, isStream: stream === true };
  }
  if (typeof stream === "string") {
    return "item" in frame
      ? { type: "item", id: stream, item: frame.item }
      : { type: "end", id: stream, error };
  }
  return typeof channel === "string" && "message" in frame ? { type: "message", channel, message } : UNKNOWN;
}

function parseCommand(command: unknown, data: unknown): ServerFrame {
  if (!isObject(data)) return UNKNOWN;
  const { fid, channel, uuid } = data;
  if (command === "rpc" && typeof fid === "string" && typeof data.command === "string") {
    return { type: "call", fid, command: data.command, args: data.args };
  }
  if ((command === "subscribe" || command === "unsubscribe") && typeof channel === "string") {
    return { type: `${command}d`, channel, id: uuid };
  }
  return UNKNOWN;
}

/** A server of version 3 returns what it was sent, but makes up no `server` of its own. */
function protocolOf(server: unknown): Protocol {
  return isObject(server) && server.protocol === PROTOCOL ? PROTOCOL : 3;
}
