import { randomUUID } from "node:crypto";
import fc from "fast-check";
import type { NodeRedis } from "../node-redis.js";
import { anyJson, anyText } from "./frames.js";

/** What is in Redis: text or bytes. */
type Value = string | Uint8Array;

/** What somebody else with access to the same Redis may do there. */
export type RedisAct =
  | { readonly type: "publish"; readonly channel: string; readonly payload: Value }
  /** Something else than a list for the revocations of late, or a list with such values. */
  | { readonly type: "revocations"; readonly values: readonly Value[]; readonly isList: boolean };

/** JSON that the language has, and that is worth a try. */
const oddJson = fc.constantFrom(
  "[".repeat(50_000) + "]".repeat(50_000),
  '{"a":'.repeat(20_000),
  "1e999",
  '{"__proto__":{"command":"disconnect"}}',
  '"\\ud800"',
  "\u2028",
  "",
);

const now = Date.now();

/** What sockets are to do, right or wrong. */
const action = fc.record(
  {
    type: fc.oneof(
      {
        weight: 6,
        arbitrary: fc.constantFrom(
          "send",
          "rpc",
          "subscribe",
          "unsubscribe",
          "refresh",
          "count",
          "disconnect",
          "find",
          "newer",
        ),
      },
      { weight: 1, arbitrary: anyJson },
    ),
    channel: fc.oneof(fc.constantFrom("a", "b", "___sync___", "", "__proto__"), anyJson),
    message: anyJson,
    command: fc.oneof(fc.constantFrom("f", "", "__proto__.f"), anyJson),
    args: anyJson,
    timeout: fc.oneof(fc.constantFrom(1, 0, -1, 1e300), anyJson),
    code: fc.oneof(fc.constantFrom(1000, 4999, 1006), anyJson),
    reason: fc.oneof(fc.constantFrom("gone", "\ud800"), anyJson),
    limit: fc.oneof(fc.constantFrom(1, 1000, 0, 1e300), anyJson),
    after: fc.oneof(fc.constantFrom("", "x", "\ud800"), anyJson),
  },
  { requiredKeys: ["type"] },
);

/** Most of a command's fields, right or wrong. No command is for the witness, whose name and channel are not in here. */
const commandData = fc.record(
  {
    channel: fc.oneof(fc.constantFrom("a", "b", "___all___", "", "__proto__"), anyJson),
    by: fc.oneof(fc.constantFrom("identity", "sid", "sessionId", "channel", "constructor"), anyJson),
    value: fc.oneof(fc.constantFrom("fuzzer", "a", "", "__proto__"), anyJson),
    code: fc.oneof(fc.constantFrom(1000, 4001, 4999, 999, 1006, 3000, -1), anyJson),
    reason: fc.oneof(fc.constantFrom("gone", "é".repeat(100), "\ud800"), anyJson),
    at: fc.oneof(fc.constantFrom(now, 0, now + 1e9, -1e300, 1e300), anyJson),
    sockets: fc.oneof(fc.constantFrom(1, -1, 2 ** 53 - 1, 1e300), anyJson),
    sharing: fc.oneof(fc.constantFrom(1, 0, -5, 1e-300), anyJson),
    action: fc.oneof({ weight: 4, arbitrary: action }, { weight: 1, arbitrary: anyJson }),
  },
  { requiredKeys: [] },
);

/** What servers tell each other, and what is nearly that. */
const commands = fc
  .record(
    {
      command: fc.oneof(
        {
          weight: 6,
          arbitrary: fc.constantFrom(
            "unsubscribeAll",
            "disconnect",
            "refresh",
            "answer",
            "to",
            "who",
            "newer",
            "__proto__",
          ),
        },
        { weight: 1, arbitrary: anyJson },
      ),
      data: fc.oneof({ weight: 6, arbitrary: commandData }, { weight: 1, arbitrary: anyJson }),
      id: fc.oneof(fc.uuid(), fc.constantFrom("1", "__proto__"), anyJson),
      origin: fc.oneof(fc.uuid(), anyJson),
      answerTo: fc.oneof(fc.uuid(), anyJson),
    },
    { requiredKeys: [] },
  )
  .map((command) => JSON.stringify(command));

const values: fc.Arbitrary<Value> = fc.oneof(
  { weight: 3, arbitrary: anyText },
  { weight: 3, arbitrary: fc.json({ maxDepth: 5 }) },
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  { weight: 1, arbitrary: oddJson },
);

const commandLike: fc.Arbitrary<Value> = fc.oneof(
  { weight: 4, arbitrary: commands },
  { weight: 1, arbitrary: values },
);

const publications: fc.Arbitrary<RedisAct> = fc.oneof(
  fc.record({
    type: fc.constant("publish" as const),
    channel: fc.constantFrom("a", "b", "___all___"),
    payload: values,
  }),
  fc.record({
    type: fc.constant("publish" as const),
    channel: fc.constant("___sync___"),
    payload: commandLike,
  }),
);

/** Arbitrary and nearly right ones. */
export const redisActs: fc.Arbitrary<RedisAct> = fc.oneof(
  { weight: 12, arbitrary: publications },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("revocations" as const),
      values: fc.array(commandLike, { minLength: 1, maxLength: 10 }),
      isList: fc.boolean(),
    }),
  },
);

/** What may be found under a token: what the server keeps there with something wrong, or anything. */
export const tokenRecords: fc.Arbitrary<Value> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record(
        {
          auth: fc.oneof(fc.constantFrom<unknown>({ name: "fuzzer" }, { name: 7 }, {}, []), anyJson),
          host: fc.oneof(fc.constant("localhost"), anyJson),
          ip: fc.oneof(fc.constant("127.0.0.1"), anyJson),
          ips: fc.oneof(fc.constant([]), anyJson),
          expiresAt: fc.oneof(fc.constantFrom(now + 3_600_000, 0, 1e300, -1), anyJson),
          issuedAt: fc.oneof(fc.constantFrom(now, 0, 1e300), anyJson),
          sessionId: fc.oneof(fc.constant("session"), anyJson),
          nonce: anyJson,
        },
        { requiredKeys: ["auth"] },
      )
      .map((record) => JSON.stringify(record)),
  },
  { weight: 1, arbitrary: values },
);

/** The names in Redis of what a server uses there. */
export interface Names {
  readonly channelPrefix: string;
  readonly tokenPrefix: string;
}

const bytes = (value: Value) => Buffer.from(value as string);

/** Does it. */
export async function act(redis: NodeRedis, { channelPrefix }: Names, given: RedisAct): Promise<void> {
  if (given.type === "publish") {
    await redis.publish(channelPrefix + given.channel, bytes(given.payload));
    return;
  }
  const key = `token-sockjs:${channelPrefix}revocations`;
  const change = redis.multi().del(key);
  if (given.isList) change.rPush(key, given.values.map(bytes));
  else change.set(key, bytes(given.values[0] ?? ""));
  await change.exec();
}

/** Puts a record where a token's is kept, and gives the token. */
export async function forgeToken(redis: NodeRedis, { tokenPrefix }: Names, record: Value): Promise<string> {
  const token = randomUUID();
  await redis.set(tokenPrefix + token, bytes(record), { PX: 60_000 });
  return token;
}
