/**
 * Every frame that crosses the socket, the one parser of what a client sends, and the encoders of what it is
 * sent. The format is described in docs/protocol.md.
 */

import { isError } from "./errors.js";
import { isJsonWithin } from "./json-within.js";
import { type Position, parsePosition } from "./position.js";
import { encodeError, isRefusal } from "./refusals.js";

/** The newest protocol that this server speaks; a client asks for it in its `auth` frame. */
export const PROTOCOL = 4;

/** The protocol version of a connection. */
export type Protocol = 3 | typeof PROTOCOL;

/** The reserved channel that carries broadcasts between servers. */
export const ALL_CHANNEL = "___all___";

/** The reserved channel that carries commands between servers. */
export const SYNC_CHANNEL = "___sync___";

/** The fields that tell a client which of its requests a reply is for. Absent fields were absent in the request. */
export interface RequestHead {
  readonly rpc: unknown;
  readonly uuid: string | number | undefined;
}

/** A frame from a client, parsed. */
export type ClientFrame =
  | { readonly type: "invalidMessage" }
  | { readonly type: "invalidRequest"; readonly head: RequestHead }
  | {
      readonly type: "auth";
      readonly head: RequestHead;
      readonly token: unknown;
      /** The nonce of the client's token request, if the server binds tokens to it. */
      readonly nonce?: unknown;
      readonly protocol: Protocol;
      /** Whether the client asks for the limits that concern it. */
      readonly limits?: true;
      /** Whether the client asks who it is, and how. */
      readonly identity?: AskedIdentity;
      /** Whether the client asks for the positions of messages, and for what it has missed. */
      readonly history?: true;
      /** The positions that it knows of channels to which the server may join it. */
      readonly positions?: ReadonlyMap<string, Position>;
    }
  | { readonly type: "call"; readonly head: RequestHead; readonly path: string; readonly data: unknown }
  | { readonly type: "ping"; readonly head: RequestHead }
  | {
      readonly type: "subscribe";
      readonly head: RequestHead;
      readonly channel: string;
      readonly req: JsonObject;
      /** For those who ask for history alone, as are the fields of `publish` that may be missing. */
      readonly start?: AskedStart | undefined;
    }
  | {
      readonly type: "unsubscribe";
      readonly head: RequestHead;
      readonly channel: string;
      readonly req: JsonObject;
    }
  | {
      readonly type: "publish";
      readonly head: RequestHead;
      readonly channel: string;
      readonly data: unknown;
      /** The client's own id of the message; undefined where it has none, null where it is none. */
      readonly id?: string | null | undefined;
      /** Whether it may have been published before. */
      readonly again?: true;
      /** False where the client does not want the message itself. */
      readonly echo?: false;
    }
  | {
      readonly type: "history";
      readonly head: RequestHead;
      readonly req: unknown;
      /** Undefined where the frame lacks what it needs. */
      readonly query: { readonly channel: string; readonly part: AskedPart } | undefined;
    }
  | {
      readonly type: "presence";
      readonly head: RequestHead;
      readonly req: unknown;
      /** Undefined where the frame lacks what it needs. */
      readonly query: PresenceQuery | undefined;
    }
  | { readonly type: "broadcast"; readonly head: RequestHead; readonly data: unknown }
  | { readonly type: "cancel"; readonly head: RequestHead; readonly req: unknown; readonly call: unknown }
  | {
      readonly type: "credit";
      readonly head: RequestHead;
      readonly req: unknown;
      readonly call: unknown;
      /** Undefined where it is no positive whole number. */
      readonly items: number | undefined;
    }
  | { readonly type: "answer"; readonly head: RequestHead; readonly fid: string; readonly answer: Answer };

/** Where a client wants to begin in a channel: "invalid" where it says that in a wrong form. */
export type AskedStart = Start | "invalid";

/** The beginning of a client's way in a channel: behind a position, with the newest messages, or with what comes now. */
export type Start = { readonly since: Position } | { readonly last: number } | "now";

/** The part of a history that a client asks for. */
export interface AskedPart {
  readonly since?: Position | undefined;
  readonly before?: Position | undefined;
  readonly last?: number | undefined;
  readonly limit?: number | undefined;
}

/** A client's request about a channel's members: to observe them, for a further page, to observe no more, or to set its state. */
export type PresenceQuery = { readonly channel: string } & (
  | { readonly kind: "observe" | "end" }
  | { readonly kind: "page"; readonly after: number }
  | { readonly kind: "set"; readonly state: unknown }
);

/** A client's request to know who it is: `true`, or a text that it has made up, with which its identity's key is hashed. */
export type AskedIdentity = true | string;

/** A client's own identity, as it is told. */
export interface ShownIdentity {
  /** The part that the application shows, as JSON. */
  readonly identity?: string | undefined;
  /** The same text as long as the identity is. */
  readonly identityHash?: string | undefined;
}

/** A client's answer to a call that the server made. */
export type Answer =
  | { readonly ok: true; readonly data: unknown }
  | { readonly ok: false; readonly error: unknown };

/** The limits that the parser checks. */
export interface FrameLimits {
  /** Levels of nested arrays and objects in one frame. */
  readonly jsonDepth: number;
  /** Values in one frame; an empty object or array counts as two. */
  readonly jsonValues: number;
  /** UTF-16 code units in a channel's name. */
  readonly channelNameLength: number;
  /** UTF-16 code units in a request's `uuid`, which comes back with each of its answers. */
  readonly idLength: number;
}

/** A JSON object as `JSON.parse` makes it: own properties only. */
export type JsonObject = { readonly [key: string]: unknown };

const INVALID_MESSAGE: ClientFrame = { type: "invalidMessage" };

/** Parses what a client sent; never throws. SockJS may hand over what is no string. */
export function parseClientFrame(message: unknown, limits: FrameLimits): ClientFrame {
  const frame = parseJsonObject(message, limits);
  if (!frame) return INVALID_MESSAGE;
  const isTooLong = typeof frame.uuid === "string" && frame.uuid.length > limits.idLength;
  const head: RequestHead = {
    rpc: frame.rpc,
    uuid: isId(frame.uuid) && !isTooLong ? frame.uuid : undefined,
  };
  const invalid: ClientFrame = { type: "invalidRequest", head };
  if (typeof frame.rpc !== "string" || isTooLong) return invalid;
  const { req } = frame;
  switch (frame.rpc) {
    case "auth":
      return {
        type: "auth",
        head,
        token: frame.token,
        ...(frame.nonce !== undefined && { nonce: frame.nonce }),
        protocol: frame.protocol === PROTOCOL ? PROTOCOL : 3,
        ...(frame.limits === true && { limits: true }),
        ...(isAskedIdentity(frame.identity) && { identity: frame.identity }),
        ...(frame.history === true && { history: true, positions: parsePositions(frame.positions) }),
      };
    case "_ping":
      return { type: "ping", head };
    case "_subscribe":
      return isObject(req) && isChannelName(req.channel, limits)
        ? { type: "subscribe", head, channel: req.channel, req, ...parseStart(req) }
        : invalid;
    case "_unsubscribe":
      return isObject(req) && isChannelName(req.channel, limits)
        ? { type: "unsubscribe", head, channel: req.channel, req }
        : invalid;
    case "_publish":
      return isObject(req) && isChannelName(req.channel, limits) && req.data !== undefined
        ? {
            type: "publish",
            head,
            channel: req.channel,
            data: req.data,
            ...(req.id !== undefined && { id: isMessageId(req.id, limits.idLength) ? req.id : null }),
            ...(req.again === true && { again: true }),
            ...(req.echo === false && { echo: false }),
          }
        : invalid;
    case "_history":
      return { type: "history", head, req, query: parseHistory(req, limits) };
    case "_presence":
      return { type: "presence", head, req, query: parsePresence(req, limits) };
    case "_broadcast":
      return isObject(req) && req.data !== undefined ? { type: "broadcast", head, data: req.data } : invalid;
    case "_cancel":
      return { type: "cancel", head, req, call: isObject(req) ? req.uuid : undefined };
    case "_credit": {
      const { uuid, items } = isObject(req) ? req : {};
      return { type: "credit", head, req, call: uuid, items: isCount(items) ? items : undefined };
    }
    case "_rpc":
      return typeof frame.fid === "string" && isObject(frame.resp)
        ? { type: "answer", head, fid: frame.fid, answer: parseAnswer(frame.resp) }
        : invalid;
    default:
      return { type: "call", head, path: frame.rpc, data: req };
  }
}

/** Says whether a channel is kept for the servers, as its name begins and ends with three underscores, or for Redis. */
export function isReservedChannel(channel: string): boolean {
  return (channel.startsWith("___") && channel.endsWith("___")) || OF_REDIS.test(channel);
}

/** The beginnings of channels on which Redis itself speaks: keyspace events name keys, so tokens, and Sentinels talk there. */
const OF_REDIS = /^__[a-z]+(?:@|__:)/;

/** Says whether a value can be a channel's name: well-formed text (it is UTF-8 in Redis) within the limit. */
export function isChannelName(
  value: unknown,
  limits: Pick<FrameLimits, "channelNameLength">,
): value is string {
  return (
    typeof value === "string" &&
    value !== "" &&
    value.length <= limits.channelNameLength &&
    value.isWellFormed()
  );
}

/** Says whether a value can be a message's id, by which its publisher may publish it again. */
export function isMessageId(value: unknown, most: number): value is string {
  return typeof value === "string" && value !== "" && value.length <= most && value.isWellFormed();
}

/** A reply with a result; a value without a JSON form, such as `undefined`, is sent as null. */
export function encodeReply(head: RequestHead, value: unknown): string {
  const { rpc, uuid } = head;
  // in one go, unless the value might be none of JSON's and leave the field out
  if (isSureJson(value)) return JSON.stringify({ rpc, uuid, resp: value });
  const resp = JSON.stringify(value) ?? "null";
  return `${encodeHead(head)}"resp":${resp}}`;
}

/** A reply with a result that is JSON already. */
export function encodeJsonReply(head: RequestHead, json: string): string {
  return `${encodeHead(head)}"resp":${json}}`;
}

/** Says whether a value is sure to have a form in JSON. Throws what a getter throws. */
function isSureJson(value: unknown): boolean {
  if (typeof value === "object" && value !== null) {
    return typeof (value as { toJSON?: unknown }).toJSON !== "function";
  }
  return (
    typeof value === "string" || typeof value === "number" || typeof value === "boolean" || value === null
  );
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
export function encodeSubscribed(channel: string, request?: RequestHead & { req: JsonObject }): string {
  return JSON.stringify({ internal: true, command: "subscribe", data: { ...request, channel } });
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

/** Encodes a value. Throws a `TypeError` for what has no JSON form: undefined, a function, a cycle, a BigInt. */
export function encodeJson(value: unknown): string {
  let why: string = typeof value;
  let cause: unknown;
  try {
    const json = JSON.stringify(value);
    if (json !== undefined) return json;
  } catch (error) {
    cause = error;
    if (isError(error)) why = error.message;
  }
  throw new TypeError(`This is no JSON value: ${why}`, { cause });
}

/** Says whether a value is an object as JSON has it: no array, not null. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseJsonObject(message: unknown, { jsonDepth, jsonValues }: FrameLimits): JsonObject | undefined {
  if (typeof message !== "string" || !isJsonWithin(message, jsonDepth, jsonValues)) return undefined;
  try {
    const value: unknown = JSON.parse(message);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function parsePositions(positions: unknown): ReadonlyMap<string, Position> {
  const known = new Map<string, Position>();
  for (const [channel, text] of Object.entries(isObject(positions) ? positions : {})) {
    const position = parsePosition(text);
    if (position) known.set(channel, position);
  }
  return known;
}

function parseStart({ since, last }: JsonObject): { readonly start?: AskedStart } {
  if (since === undefined && last === undefined) return {};
  if (since !== undefined && last !== undefined) return { start: "invalid" };
  if (isCount(last)) return { start: { last } };
  const position = parsePosition(since);
  return { start: position ? { since: position } : since === "" ? "now" : "invalid" };
}

function parseHistory(
  req: unknown,
  limits: FrameLimits,
): { readonly channel: string; readonly part: AskedPart } | undefined {
  if (!isObject(req) || !isChannelName(req.channel, limits)) return undefined;
  const { channel, last, limit } = req;
  const [since, before] = [parsePosition(req.since), parsePosition(req.before)];
  const isWrong =
    (req.since !== undefined && (!since || req.before !== undefined || last !== undefined)) ||
    (req.before !== undefined && !before) ||
    (last !== undefined && !isCount(last)) ||
    (limit !== undefined && !isCount(limit));
  if (isWrong) return undefined;
  return { channel, part: { since, before, last, limit } as AskedPart };
}

/** The place in a list, behind which its next page is. */
const CURSOR = /^\d{1,15}$/;

function parsePresence(req: unknown, limits: FrameLimits): PresenceQuery | undefined {
  if (!isObject(req) || !isChannelName(req.channel, limits)) return undefined;
  const { channel, after, state, end } = req;
  const asked = [after, state, end].filter((field) => field !== undefined);
  if (asked.length === 0) return { channel, kind: "observe" };
  if (asked.length > 1) return undefined;
  if (state !== undefined) return { channel, kind: "set", state };
  if (end === true) return { channel, kind: "end" };
  return typeof after === "string" && CURSOR.test(after)
    ? { channel, kind: "page", after: Number(after) }
    : undefined;
}

function parseAnswer(resp: JsonObject): Answer {
  return resp.error === undefined || resp.error === null
    ? { ok: true, data: resp.data }
    : { ok: false, error: resp.error };
}

function isId(value: unknown): value is string | number {
  // JSON may hold numbers that are too large for one, and those have no JSON form again
  return typeof value === "string" || Number.isFinite(value);
}

/** A refusal is a text in version 3 of the protocol, and has its code since. */
function encodeErrorFor(protocol: Protocol, error: unknown): string {
  // not its JSON, which is for version 3
  return encodeError(protocol === PROTOCOL && isRefusal(error) ? { ...error } : error);
}

/** UTF-16 code units in the text by which a client asks who it is. */
const LONGEST_HASH_KEY = 128;

function isAskedIdentity(value: unknown): value is AskedIdentity {
  return value === true || (typeof value === "string" && value.length <= LONGEST_HASH_KEY);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) > 0;
}

function encodeHead({ rpc, uuid }: RequestHead): string {
  const fields = JSON.stringify({ rpc, uuid });
  return fields === "{}" ? "{" : `${fields.slice(0, -1)},`;
}
