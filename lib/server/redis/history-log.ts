import { randomBytes, randomInt } from "node:crypto";
import { formatPosition, type Position, parsePosition } from "../../shared/position.js";
import { pairsOf, Script } from "./script.js";

/** The names in Redis that belong to a channel with history. */
export interface HistoryNames {
  /** The channel itself, on which messages are published. */
  readonly channel: string;
  /** The key of the stream of messages. */
  readonly log: string;
  /** The key of the newest position, which outlives the messages. */
  readonly position: string;
  /** The key of the position that a message with an id of its publisher has got. */
  idOf(id: string): string;
}

/** The bounds of a channel's history. */
export interface HistoryBounds {
  /** The number of messages that are kept. */
  readonly size: number;
  /** Milliseconds for which each is kept. */
  readonly ttl: number;
  /** Milliseconds for which the channel's position is known after the last message, or the last look at it. */
  readonly positionTtl: number;
}

/** A message as the history has it. */
export interface Entry {
  readonly position: Position;
  /** The tag of the message before it. */
  readonly before: string;
  /** When Redis has taken it, in milliseconds since 1970. */
  readonly time: number;
  readonly json: string;
  /** The `sid` of the socket that does not get it. */
  readonly except?: string | undefined;
}

/** The position before a message. */
export function positionBefore({ position: { epoch, offset }, before: tag }: Entry): Position {
  return { epoch, offset: offset - 1, tag };
}

/** A message to be kept and published. */
export interface NewEntry {
  readonly json: string;
  /** The publisher's own id of it: a second one with that id is not published. */
  readonly id?: string | undefined;
  /** The `sid` of the socket that does not get it. */
  readonly except?: string | undefined;
}

/** The outcome of a publish. */
export interface Kept {
  /** The message's position; that of the first one where the id was known. */
  readonly at: string;
  /** Whether a message with this id was published before. */
  readonly isRepeated: boolean;
}

/** Messages to be read: those from an offset on, or those up to one, the newest first. */
export interface LogQuery {
  readonly from?: number;
  readonly to?: number;
  /** The most messages to be read; 0 for the position alone. */
  readonly count: number;
  /** Bytes after which no further message is read. */
  readonly bytes: number;
}

/** A part of a history, as it was at one moment. */
export interface LogPage {
  /** The newest position. */
  readonly at: Position;
  /** The time in Redis, in milliseconds since 1970. */
  readonly now: number;
  /** The number of messages that Redis has, including those that have expired. */
  readonly length: number;
  /** In order of their offsets, including those that have expired. */
  readonly entries: readonly Entry[];
}

/** Milliseconds for which a publisher's id is known. */
export const ID_LIFE = 300_000;

/** Milliseconds for which the position of a channel without a message is known after the last look, at most. */
export const EMPTY_LIFE = 300_000;

/** Gives the names of a channel's history. Those of one channel are in one slot of a cluster. */
export function historyNames(channelPrefix: string, channel: string): HistoryNames {
  const key = (kind: string) => `token-sockjs:${channelPrefix}{${partitionOf(channel)}}${kind}:${channel}`;
  return {
    channel: channelPrefix + channel,
    log: key("log"),
    position: key("position"),
    // an encoded id holds no colon, so that those of two channels never meet
    idOf: (id) => key(`id:${encodeURIComponent(id)}`),
  };
}

/** The partition of a channel, of 256: the CRC-16 (XMODEM, as Redis Cluster has it) of its name in UTF-8, modulo 256. */
export function partitionOf(channel: string): number {
  let crc = 0;
  for (const byte of Buffer.from(channel)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  }
  return crc & 0xff;
}

/** A name for a history's new life. */
export function newEpoch(): string {
  return randomBytes(6).toString("base64url");
}

/** A tag for a message. */
export function newTag(): string {
  return String(randomInt(1, 2 ** 47));
}

/** Publishes and keeps messages of one channel, in one step: what cannot be kept is not published either. */
export const KEEP = new Script(
  "get set del time xadd xrange xtrim pexpire publish",
  `
local at = redis.call('GET', KEYS[2])
local epoch, offset, tag
if at then epoch, offset, tag = string.match(at, '^([^.]+)%.(%d+)%.(%d+)$') end
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local time = string.format('%.0f', now)
local function isOld(entry) return (string.match(entry[2][2], '^%d+ (%d+)') or 0) + ARGV[3] <= now end
local answer, isNew = {}, false
for i = 7, #ARGV, 4 do
  local id = KEYS[tonumber(ARGV[i + 3])]
  local first = id and redis.call('GET', id)
  if not first then
    if not epoch then
      epoch, offset, tag = ARGV[5], '0', '0'
      redis.call('DEL', KEYS[1])
    end
    offset = string.format('%.0f', offset + 1)
    local entry = tag .. ' ' .. time .. ARGV[i + 2] .. ' ' .. ARGV[i]
    tag = ARGV[i + 1]
    redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], offset .. '-' .. tag, 'm', entry)
    if offset % 8 == 0 and isOld(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]) then
      local gone
      for _, old in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 64)) do
        if not isOld(old) then break end
        gone = string.match(old[1], '^%d+')
      end
      redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f', gone + 1))
    end
    at, isNew = epoch .. '.' .. offset .. '.' .. tag, true
    if id then redis.call('SET', id, at, 'PX', ARGV[6]) end
    redis.call('PUBLISH', ARGV[1], '@' .. at .. ' ' .. entry)
  end
  answer[#answer + 1] = first or at
  answer[#answer + 1] = first and '1' or '0'
end
if isNew then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  redis.call('SET', KEYS[2], at, 'PX', ARGV[4])
end
return answer
`,
);

/** Reads a part of a history, and begins one where there is none, so that there is always a position. */
export const READ = new Script(
  "get set del time xlen xrange xrevrange pexpire",
  `
local at = redis.call('GET', KEYS[2])
local offset = at and string.match(at, '^[^.]+%.(%d+)%.%d+$')
if offset then
  redis.pcall('PEXPIRE', KEYS[2], offset == '0' and ARGV[7] or ARGV[2])
else
  at = ARGV[1] .. '.0.0'
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[2], at, 'PX', ARGV[7])
end
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local read = {at, string.format('%.0f', now), string.format('%d', redis.call('XLEN', KEYS[1]))}
if ARGV[5] == '0' then return read end
local found
if ARGV[3] == 'from' then found = redis.call('XRANGE', KEYS[1], ARGV[4], '+', 'COUNT', ARGV[5])
else found = redis.call('XREVRANGE', KEYS[1], ARGV[4], '-', 'COUNT', ARGV[5]) end
local bytes = 0
for _, entry in ipairs(found) do
  read[#read + 1] = entry[1]
  read[#read + 1] = entry[2][2]
  bytes = bytes + #entry[2][2]
  if bytes >= tonumber(ARGV[6]) then break end
end
return read
`,
);

/** The keys and the arguments of {@link KEEP}. */
export function keepArguments(
  names: HistoryNames,
  { size, ttl, positionTtl }: HistoryBounds,
  entries: readonly NewEntry[],
) {
  const keys = [names.log, names.position];
  const args = [names.channel, size, ttl, positionTtl, newEpoch(), ID_LIFE].map(String);
  for (const { json, id, except } of entries) {
    // Lua counts from 1
    const key = id === undefined ? "" : String(keys.push(names.idOf(id)));
    args.push(json, newTag(), except === undefined ? "" : extraOf(except), key);
  }
  return { keys, args };
}

/** The keys and the arguments of {@link READ}. */
export function readArguments(names: HistoryNames, { positionTtl }: HistoryBounds, query: LogQuery) {
  const { from, to, count, bytes } = query;
  const range = from === undefined ? ["to", to ?? "+"] : ["from", from];
  const empty = Math.min(positionTtl, EMPTY_LIFE);
  const args = [newEpoch(), positionTtl, ...range, count, bytes, empty].map(String);
  return { keys: [names.log, names.position], args };
}

/** Parses the answer of {@link KEEP}, which has as many parts as there were messages. */
export function parseKept(answer: readonly string[], count: number): Kept[] {
  if (answer.length !== 2 * count) throw malformed();
  return pairsOf(answer).map(([at, isRepeated]) => ({ at, isRepeated: isRepeated === "1" }));
}

/** Parses the answer of {@link READ}. */
export function parsePage(
  [position, now, length, ...rest]: readonly string[],
  isBackwards: boolean,
): LogPage {
  const at = parsePosition(position);
  if (!at) throw malformed();
  const entries: Entry[] = [];
  for (const [id, text] of pairsOf(rest)) {
    const [offset, tag] = id.split("-");
    const entry = parseEntry(`${at.epoch}.${offset}.${tag}`, text);
    if (entry) entries.push(entry);
  }
  if (isBackwards) entries.reverse();
  return { at, now: Number(now), length: Number(length), entries };
}

/** The payload on the channel of a message that is kept. */
export function encodeEnvelope({ position, before, time, json, except }: Entry): string {
  return `@${formatPosition(position)} ${before} ${time}${except === undefined ? "" : extraOf(except)} ${json}`;
}

function extraOf(except: string): string {
  return `${EXTRA}${except}`;
}

/** Parses a payload on a channel; undefined for one that is not kept: JSON, or a text of another service. */
export function parseEnvelope(payload: string): Entry | undefined {
  if (payload.charCodeAt(0) !== AT) return undefined;
  const space = payload.indexOf(" ");
  return parseEntry(payload.slice(1, space), payload.slice(space + 1));
}

const AT = 0x40;

/** The tag before, the time and perhaps more behind a comma, and the message. */
const ENTRY = /^(\d{1,20}) (\d{1,16})(,\S*)? /;

/** The beginning of the extra text behind the time that names the socket which does not get the message. */
const EXTRA = ",except=";

function parseEntry(at: string, text: string): Entry | undefined {
  const position = parsePosition(at);
  // Stryker disable next-line ArrayDeclaration: what has no position or no tag is refused below
  const [head, before, time, extra] = ENTRY.exec(text) ?? [];
  // Stryker disable next-line ConditionalExpression: a text has both or none of them
  if (!position || head === undefined || before === undefined) return undefined;
  const entry = { position, before, time: Number(time), json: text.slice(head.length) };
  return extra?.startsWith(EXTRA) ? { ...entry, except: extra.slice(EXTRA.length) } : entry;
}

function malformed(): Error {
  return new Error("Redis holds something else where a channel's history should be");
}
