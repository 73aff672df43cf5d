import { Script } from "./script.js";

/** The names in Redis of the servers that share it. They are in one slot of a cluster. */
export interface ServerNames {
  /** The key of a sorted set: servers by the time at which each has written last. */
  readonly alive: string;
  /** The key of a hash: what each has written. */
  readonly info: string;
  /** The key of a sorted set: dead servers that were forgotten, by the time at which each has written last. */
  readonly gone: string;
}

/** The times of the list of servers, in milliseconds. */
export interface ServerTimes {
  /** The age of the last write from which on a server is overdue. */
  readonly overdueAfter: number;
  /** The age of the last write from which on a server is dead. */
  readonly deadAfter: number;
  /** For how long a server that was forgotten is still listed as one that is gone. */
  readonly goneFor: number;
}

/** The answer to a server that has written. */
export interface Beat {
  /** Whether Redis had this server as one that is alive. */
  readonly wasAlive: boolean;
  /** The number of servers that are alive. */
  readonly alive: number;
  /** Servers that are dead and not forgotten yet, a hundred at most. */
  readonly dead: readonly string[];
  /** Servers that are overdue and not dead yet, a hundred at most. */
  readonly overdue: readonly string[];
}

/** A server as Redis lists it. */
export interface ListedServer {
  readonly id: string;
  /** The time of its last write, by the clock of Redis; 0 for one that has ended by itself. */
  readonly at: number;
  /** Milliseconds since its last write. */
  readonly age: number;
  /** Whether it was dead and is forgotten. */
  readonly isGone: boolean;
  /** What it has written; empty for one that has ended by itself. */
  readonly json: string;
}

/** The number of servers that one answer names of each kind. */
export const MOST_NAMED = 100;

/**
 * Milliseconds after which the list is forgotten where no server writes any more: 90 days. Members whose servers it has
 * forgotten would stay for ever.
 */
export const LIST_LIFE = 7_776_000_000;

/** Gives the names of the list of the servers of one `channelPrefix`. */
export function serverNames(channelPrefix: string): ServerNames {
  const key = (kind: string) => `token-sockjs:${channelPrefix}{servers}${kind}`;
  return { alive: key("alive"), info: key("info"), gone: key("gone") };
}

/** Takes note of a server by the clock of Redis, and tells it of those that are overdue or dead. */
export const BEAT = new Script(
  "time zscore zadd zrem zcount zrangebyscore hset hdel pexpire",
  `
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local overdue = string.format('%.0f', now - ARGV[3])
local dead = string.format('%.0f', now - ARGV[4])
local before = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZREM', KEYS[3], ARGV[1])
local old = string.format('%.0f', now - ARGV[5])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. old, 'LIMIT', 0, ARGV[6])) do
  redis.call('ZREM', KEYS[3], id)
  redis.call('HDEL', KEYS[2], id)
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[7]) end
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. dead, 'LIMIT', 0, ARGV[6])
local late = redis.call('ZRANGEBYSCORE', KEYS[1], dead, '(' .. overdue, 'LIMIT', 0, ARGV[6])
local answer = {
  before and tonumber(before) >= tonumber(dead) and '1' or '0',
  string.format('%d', redis.call('ZCOUNT', KEYS[1], dead, '+inf')),
  string.format('%d', #found)
}
for _, id in ipairs(found) do answer[#answer + 1] = id end
for _, id in ipairs(late) do answer[#answer + 1] = id end
return answer
`,
);

/** Lists all servers: the age of each one's last write, whether it is gone, and what it has written. */
export const LIST = new Script(
  "time zrangebyscore hget",
  `
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local answer = {string.format('%.0f', now)}
for index, isGone in ipairs({'0', '1'}) do
  local found = redis.call('ZRANGEBYSCORE', KEYS[index == 1 and 1 or 3], '-inf', '+inf', 'WITHSCORES')
  for i = 1, #found, 2 do
    local json = redis.call('HGET', KEYS[2], found[i])
    for _, value in ipairs({found[i], found[i + 1], isGone, json or ''}) do answer[#answer + 1] = value end
  end
end
return answer
`,
);

/** Forgets a server that is dead: no other one is told of it any more. Says whether it was there and dead. */
export const FORGET = new Script(
  "time zscore zrem zadd pexpire",
  `
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local at = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not at or now - at <= tonumber(ARGV[2]) then return {'0'} end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[3], at, ARGV[1])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return {'1'}
`,
);

/** Has a server that ends count as dead at once, so that the others finish what it leaves. */
export const END = new Script(
  "zadd hdel",
  `
redis.call('ZADD', KEYS[1], 'XX', '0', ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return {}
`,
);

const keysOf = ({ alive, info, gone }: ServerNames) => [alive, info, gone];

/** The keys and the arguments of {@link BEAT}. */
export function beatArguments(names: ServerNames, times: ServerTimes, id: string, json: string) {
  const { overdueAfter, deadAfter, goneFor } = times;
  const args = [id, json, ...[overdueAfter, deadAfter, goneFor, MOST_NAMED, LIST_LIFE].map(String)];
  return { keys: keysOf(names), args };
}

/** The keys and the arguments of {@link LIST}. */
export function listArguments(names: ServerNames) {
  return { keys: keysOf(names), args: [] };
}

/** The keys and the arguments of {@link FORGET}. */
export function forgetArguments(names: ServerNames, { deadAfter }: ServerTimes, id: string) {
  return { keys: keysOf(names), args: [id, String(deadAfter), String(LIST_LIFE)] };
}

/** The keys and the arguments of {@link END}. */
export function endArguments(names: ServerNames, id: string) {
  return { keys: keysOf(names), args: [id] };
}

/** Parses the answer of {@link BEAT}. */
export function parseBeat([wasAlive, alive, dead, ...ids]: readonly string[]): Beat {
  if (dead === undefined) throw new Error("Redis holds something else where the list of servers should be");
  const overdue = ids.splice(Number(dead));
  return { wasAlive: wasAlive === "1", alive: Number(alive), dead: ids, overdue };
}

/** Parses the answer of {@link LIST}. */
export function parseList([now, ...values]: readonly string[]): ListedServer[] {
  const listed: ListedServer[] = [];
  for (let i = 0; i + 3 < values.length; i += 4) {
    const [id = "", at, isGone, json = ""] = values.slice(i, i + 4);
    listed.push({ id, at: Number(at), age: Number(now) - Number(at), isGone: isGone === "1", json });
  }
  return listed;
}
