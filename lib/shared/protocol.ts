// Every frame of a client, and the one parser of what it sends. The format is described in docs/protocol.md.

import { isError } from "./errors.js";
import { isJsonWithin } from "./json-within.js";
import { type Position, parsePosition } from "./position.js";

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

export type AuthFrame = Extract<ClientFrame, { type: "auth" }>;
export type SubscribeFrame = Extract<ClientFrame, { type: "subscribe" }>;

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
      return parseAuth(frame, head);
    case "_ping":
      return { type: "ping", head };
    case "_subscribe":
      return isObject(req) && isChannelName(req.channel, limits)
        ? withStart({ type: "subscribe", head, channel: req.channel, req }, parseStart(req))
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

function parseAuth(
  { token, protocol, nonce, limits, identity, history, positions }: JsonObject,
  head: RequestHead,
): AuthFrame {
  const frame: { -readonly [Field in keyof AuthFrame]: AuthFrame[Field] } = {
    type: "auth",
    head,
    token,
    protocol: protocol === PROTOCOL ? PROTOCOL : 3,
  };
  if (nonce !== undefined) frame.nonce = nonce;
  if (limits === true) frame.limits = true;
  if (isAskedIdentity(identity)) frame.identity = identity;
  if (history === true) {
    frame.history = true;
    frame.positions = parsePositions(positions);
  }
  return frame;
}

function withStart(frame: SubscribeFrame, start: AskedStart | undefined): SubscribeFrame {
  return start === undefined ? frame : { ...frame, start };
}

function parseStart({ since, last }: JsonObject): AskedStart | undefined {
  if (since === undefined && last === undefined) return undefined;
  if (since !== undefined && last !== undefined) return "invalid";
  if (isCount(last)) return { last };
  const position = parsePosition(since);
  return position ? { since: position } : since === "" ? "now" : "invalid";
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

/** UTF-16 code units in the text by which a client asks who it is. */
const LONGEST_HASH_KEY = 128;

function isAskedIdentity(value: unknown): value is AskedIdentity {
  return value === true || (typeof value === "string" && value.length <= LONGEST_HASH_KEY);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) > 0;
}
