import { SYNC_CHANNEL } from "../../shared/protocol.js";
import type { ClientDriver } from "./client-driver.js";
import { historyNames } from "./history-log.js";
import { memberNames } from "./member-list.js";
import type { Redis } from "./redis.js";
import { Script } from "./script.js";
import { serverNames } from "./server-list.js";
import type { Trial } from "./trial.js";

/** The use that a server makes of its first client: commands and names. */
export interface ClientUse {
  readonly tokenPrefix: string;
  readonly channelPrefix: string;
  /** Whether there is a client for subscriptions, too. */
  readonly hasSubscriber: boolean;
  /** Whether channels keep a history. */
  readonly hasHistory: boolean;
  /** Whether the members of channels are known. */
  readonly hasPresence: boolean;
  /** The rates of identities that are counted in Redis, if any are. */
  readonly rates: { readonly keyPrefix: string; try(): Promise<unknown> } | undefined;
}

/** By these ends the keys are in the first and the last slot of a cluster, so that one of them is of another node. */
const [IN_FIRST_SLOT, IN_LAST_SLOT] = ["{06S}", "{6ZJ}"];

/** The life of a trial's key, in milliseconds. */
const AT_ONCE = 1;

/** A reserved name, so that no socket is in it. */
const NOBODYS_CHANNEL = "___check___";

/** Servers pass over commands that they do not know. */
const UNKNOWN_COMMAND = JSON.stringify({ command: "check" });

/** The commands by which rates are counted. */
const RATES = "eval evalsha incrby pttl";

const PING: Trial = { commands: "ping", isOptional: true, run: (driver) => driver.ping() };

/** Resolves with what Redis refuses of that which a server does with its first client. */
export function checkClient(redis: Redis, use: ClientUse): Promise<readonly Error[]> {
  const { tokenPrefix, channelPrefix, hasSubscriber, hasHistory, hasPresence, rates } = use;
  const trials: Trial[] = [PING, ...tokenTrials(tokenPrefix)];
  if (hasSubscriber) {
    trials.push(...listTrials(`token-sockjs:${channelPrefix}check`), publishTrial(channelPrefix));
  }
  if (hasSubscriber) trials.push(registryTrial(channelPrefix));
  if (rates) {
    const { keyPrefix: key } = rates;
    trials.push({ commands: RATES, key, uses: "set", after: REGISTRY.commands, run: () => rates.try() });
  }
  if (hasSubscriber && hasHistory) trials.push(historyTrial(channelPrefix));
  if (hasSubscriber && hasPresence) trials.push(presenceTrial(channelPrefix));
  return redis.rehearse(trials);
}

/** Likewise, with its client for subscriptions; it subscribes by itself. */
export function checkSubscriber(redis: Redis, channelPrefix: string): Promise<readonly Error[]> {
  const channel = channelPrefix + NOBODYS_CHANNEL;
  return redis.rehearse([PING, { commands: "unsubscribe", run: (driver) => driver.unsubscribe([channel]) }]);
}

/** Resolves with a warning where Redis may evict what the server keeps there, as far as Redis tells. */
export async function evictionWarning(redis: Redis): Promise<string | undefined> {
  // Stryker disable next-line ArrowFunction,StringLiteral: whatever has no such field
  const info = await redis.info().catch(() => "");
  // without the field it is a word that is no number and no policy
  const fieldOf = (name: string) => String(new RegExp(`^${name}:(\\S+)`, "m").exec(info)?.[1]);
  const policy = fieldOf("maxmemory_policy");
  const isBounded = Number(fieldOf("maxmemory")) > 0;
  if (!isBounded || !/^(allkeys|volatile)-/.test(policy)) return undefined;
  return (
    `Redis has the maxmemory-policy ${policy}: when it is full it may evict tokens, whose users are then refused, and ` +
    "revocations, whose users then may stay. Set maxmemory-policy noeviction"
  );
}

function tokenTrials(prefix: string): Trial[] {
  const [first, last] = [prefix + IN_FIRST_SLOT, prefix + IN_LAST_SLOT];
  return [
    { commands: "set", key: first, run: (driver) => driver.set(first, "", AT_ONCE) },
    { commands: "getdel", key: first, run: (driver) => driver.take(first) },
    { commands: "getdel", key: last, run: (driver) => driver.take(last) },
  ];
}

function listTrials(key: string): Trial[] {
  return [
    { commands: "rpush", key, run: (driver) => driver.push(key, "") },
    { commands: "ltrim", key, run: (driver) => driver.trim(key, 1) },
    { commands: "pexpire", key, run: (driver) => driver.expire(key, AT_ONCE) },
    { commands: "lrem", key, run: (driver) => driver.remove(key, "") },
    { commands: "lrange", key, run: (driver) => driver.list(key) },
  ];
}

/** The commands of a history's scripts that no other trial has. The script gives them to the key of a stream that ends at once. */
const HISTORY = new Script(
  "get del time xadd xlen xrange xrevrange xtrim",
  `
redis.call('DEL', KEYS[1])
redis.call('GET', KEYS[1])
redis.call('TIME')
redis.call('XADD', KEYS[1], '1-1', 'm', '')
redis.call('XLEN', KEYS[1])
redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
redis.call('XTRIM', KEYS[1], 'MINID', '2')
redis.call('DEL', KEYS[1])
return {}
`,
);

function historyTrial(channelPrefix: string): Trial {
  const { log } = historyNames(channelPrefix, NOBODYS_CHANNEL);
  return { ...scriptTrial(HISTORY, [log]), after: REGISTRY.commands };
}

/** The commands of the registry's scripts. The script gives them to keys that end at once. */
const REGISTRY = new Script(
  "time zscore zadd zrem zcount zrangebyscore hset hget hdel pexpire",
  `
redis.call('TIME')
redis.call('ZADD', KEYS[1], 'XX', '0', 'check')
redis.call('ZSCORE', KEYS[1], 'check')
redis.call('ZCOUNT', KEYS[1], '-inf', '+inf')
redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf')
redis.call('ZREM', KEYS[1], 'check')
redis.call('HSET', KEYS[2], 'check', '')
redis.call('HGET', KEYS[2], 'check')
redis.call('HDEL', KEYS[2], 'check')
redis.call('PEXPIRE', KEYS[1], 1)
return {}
`,
);

function registryTrial(channelPrefix: string): Trial {
  const { alive, info } = serverNames(`${channelPrefix}check:`);
  return { ...scriptTrial(REGISTRY, [alive, info]), uses: "pexpire" };
}

/** The commands of the scripts about members that no other trial has. */
const PRESENCE = new Script(
  "hlen hscan persist",
  `
redis.call('HLEN', KEYS[1])
redis.call('HSCAN', KEYS[1], '0', 'COUNT', '1')
redis.call('PERSIST', KEYS[1])
return {}
`,
);

function presenceTrial(channelPrefix: string): Trial {
  const { members } = memberNames(channelPrefix, NOBODYS_CHANNEL);
  return { ...scriptTrial(PRESENCE, [members]), after: REGISTRY.commands };
}

/** Runs a script by its text and by its hash, which need different rights. */
function scriptTrial({ commands, text, sha }: Script, keys: readonly [string, ...string[]]): Trial {
  const run = async (driver: ClientDriver) => {
    await driver.evaluate(text, keys, []);
    await driver.evaluateKnown(sha, keys, []);
  };
  return { commands, key: keys[0], run };
}

/** It is published where the server is sure to publish: the user may be allowed no more than the channels that there are. */
function publishTrial(channelPrefix: string): Trial {
  return {
    commands: "publish",
    run: (driver) => driver.publish(channelPrefix + SYNC_CHANNEL, UNKNOWN_COMMAND),
  };
}
