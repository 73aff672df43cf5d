// The frames that a client is sent. The format is described in docs/protocol.md.

import {
  encodeJson,
  type JsonObject,
  PROTOCOL,
  type Protocol,
  type RequestHead,
  type ShownIdentity,
} from "./protocol.js";
import { QuotedNames } from "./quoted-names.js";
import { encodeError, isRefusal } from "./refusals.js";

/** The request of a client to join a channel. */
export interface JoinRequest {
  readonly head: RequestHead;
  readonly req: JsonObject;
}

/** The names of the functions that were called, of all clients. */
const functionNames = /* @__PURE__ */ new QuotedNames();

/** A reply with a result; a value without a JSON form, such as `undefined`, is sent as null. */
export function encodeReply(head: RequestHead, value: unknown): string {
  return encodeJsonReply(head, JSON.stringify(value) ?? "null");
}

/** A reply with a result that is JSON already. */
export function encodeJsonReply(head: RequestHead, json: string): string {
  return `${encodeHead(head)}"resp":${json}}`;
}

/** A reply with an error. */
export function encodeErrorReply(head: RequestHead, error: unknown, protocol: Protocol): string {
  return `${encodeHead(head)}"error":${encodeErrorFor(protocol, error)}}`;
}

/** The reply to a call whose function answers with a stream; the call's id is the stream's. */
export function encodeStreamReply(head: RequestHead): string {
  return `${encodeHead(head)}"stream":true}`;
}

/** An item of a stream; a value without a JSON form, such as `undefined`, is sent as null. */
export function encodeItem(stream: string | number, item: unknown): string {
  return `{"stream":${JSON.stringify(stream)},"item":${JSON.stringify(item) ?? "null"}}`;
}

/** The end of a stream. */
export function encodeEnd(stream: string | number): string {
  return `{"stream":${JSON.stringify(stream)},"end":true}`;
}

/** The end of a stream by an error. */
export function encodeStreamError(stream: string | number, error: unknown): string {
  return `{"stream":${JSON.stringify(stream)},"error":${encodeErrorFor(PROTOCOL, error)}}`;
}

/**
 * The reply that lets a client in; a client that asked for a newer protocol sees the proof in `server`, after how many
 * milliseconds its identity expires, if ever, how many bytes a message may have and who it is, where it has asked for
 * these.
 */
export function encodeAccepted(
  head: RequestHead,
  protocol: Protocol,
  expiresIn?: number,
  messageBytes?: number,
  { identity, identityHash }: ShownIdentity = {},
  history?: true,
): string {
  const { rpc, uuid } = head;
  const server =
    protocol === PROTOCOL ? { protocol, expiresIn, messageBytes, identityHash, history } : undefined;
  const frame = JSON.stringify({ rpc, uuid, resp: "success", server });
  return server && identity !== undefined ? `${frame.slice(0, -2)},"identity":${identity}}}` : frame;
}

/** The answer to what is no JSON object. */
export const INVALID_MESSAGE_REPLY = /* @__PURE__ */ JSON.stringify({ error: "Invalid message" });

/** Tells a client that it has joined a channel, by its own request or, without one, by the server's doing. */
export function encodeSubscribed(channel: string, request?: JoinRequest): string {
  if (!request) return JSON.stringify({ internal: true, command: "subscribe", data: { channel } });
  const { head, req } = request;
  const data = { rpc: head.rpc, uuid: head.uuid, req, channel };
  return JSON.stringify({ internal: true, command: "subscribe", data });
}

/** Tells a client that it has left a channel; since protocol 4 also why, where the server has taken it back. */
export function encodeUnsubscribed(channel: string, protocol: Protocol = 3, error?: unknown): string {
  const frame = JSON.stringify({ internal: true, command: "unsubscribe", data: { channel } });
  if (error === undefined || protocol !== PROTOCOL) return frame;
  return `${frame.slice(0, -2)},"error":${encodeErrorFor(protocol, error)}}}`;
}

/** Asks a client of protocol 4 for a new token. */
export const REFRESH = /* @__PURE__ */ JSON.stringify({ internal: true, command: "refresh", data: {} });

/** Asks a client of protocol 4 to go when its calls are answered, and to come back by another connection. */
export const LEAVE = /* @__PURE__ */ JSON.stringify({ internal: true, command: "leave", data: {} });

/** Calls a client's function. Throws a `TypeError` for arguments that have no JSON form, `undefined` apart. */
export function encodeCall(fid: string, command: string, args: unknown): string {
  const call = JSON.stringify({ fid, command });
  const data = args === undefined ? call : `${call.slice(0, -1)},"args":${encodeJson(args)}}`;
  return `{"internal":true,"command":"rpc","data":${data}}`;
}

/** A message on a channel; `json` is the message as JSON already, so that it is encoded once for all readers. */
export function encodeMessage(channel: string, json: string): string {
  return `{"channel":${JSON.stringify(channel)},"message":${json}}`;
}

/** A message of a channel with history, for those who have asked for positions. */
export function encodeKept(channel: string, json: string, at: string, time: number): string {
  return `{"channel":${JSON.stringify(channel)},"message":${json},"at":"${at}","time":${time}}`;
}

/** Tells that messages of a channel are lost, and from which position it goes on. */
export function encodeLost(channel: string, lost: unknown, at: string): string {
  return JSON.stringify({ channel, lost, at });
}

/** The end of what a client has missed of a channel that the server has joined it to, or why it has not got it. */
export function encodeRecovered(channel: string, recovered: object): string {
  return JSON.stringify({ channel, ...recovered });
}

/** Tells a client of protocol 4 that it observes a channel's members no more, and why. */
export function encodePresenceEnd(channel: string, error: unknown): string {
  return `{"presence":${JSON.stringify(channel)},"end":true,"error":${encodeErrorFor(PROTOCOL, error)}}`;
}

/** A refusal is a text in version 3 of the protocol, and has its code since. */
function encodeErrorFor(protocol: Protocol, error: unknown): string {
  // not its JSON, which is for version 3
  return encodeError(protocol === PROTOCOL && isRefusal(error) ? { ...error } : error);
}

function encodeHead({ rpc, uuid }: RequestHead): string {
  // Stryker disable next-line ConditionalExpression,StringLiteral: it is only quicker
  const name = typeof rpc === "string" ? functionNames.quote(rpc) : JSON.stringify(rpc);
  const named = name === undefined ? "{" : `{"rpc":${name},`;
  return uuid === undefined ? named : `${named}"uuid":${JSON.stringify(uuid)},`;
}
