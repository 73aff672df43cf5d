/**
 * Arbitrary and nearly right frames, requests and Redis payloads, as many as are wanted: does the server go down, hang,
 * keep anything, or leave others waiting? See docs/fuzzer.md.
 */
import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { Agent, get } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import fc from "fast-check";
import { babble, converse } from "../../test/support/fuzz/conversation.js";
import { crowds, letIn } from "../../test/support/fuzz/crowd.js";
import { anything, harmless, manyMessagesOf, messagesOf } from "../../test/support/fuzz/frames.js";
import { Fuzzer } from "../../test/support/fuzz/fuzzer.js";
import { act, forgeToken, type Names, redisActs, tokenRecords } from "../../test/support/fuzz/payloads.js";
import { countInputs, pay, visits } from "../../test/support/fuzz/visits.js";
import { connectNodeRedis } from "../../test/support/node-redis.js";
import { startRedis } from "../../test/support/redis-server.js";
import { Child } from "../measured/child.js";
import { inMib, leftOver, letGo, type Sample } from "../measured/sample.js";
import type { BystanderOrder, BystanderTold, ServerOrder, ServerTold } from "./messages.js";

/** How long one conversation or visit may take, in milliseconds; then it hangs. */
const PATIENCE = 30_000;
/** How much more heap than at first there may be at the end. */
const HEAP_LEFT = 4 * 1_048_576;
/** The part of the frames that is sent before the first measurement, so that what is compiled once is there. */
const FIRST = 0.05;
/** How long the server gets to let go of what was cut, in milliseconds: a poll may last until SockJS's heartbeat, 25 s. */
const LET_GO = 60_000;
const PROGRESS = 10_000;
const MOST_FAULTS = 5;

const { values } = parseArgs({
  options: {
    frames: { type: "string", default: "1000000" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    json: { type: "string", default: "fuzz.json" },
  },
});
const [total, seed] = [Number(values.frames), Number(values.seed)];
const names: Names = { channelPrefix: `fuzz-${randomUUID()}:`, tokenPrefix: `fuzz-${randomUUID()}:` };

const redis = await startRedis({ own: true });
// on a busy machine this process may have no turn for seconds
const publisher = await connectNodeRedis(redis.url, { patient: true });
const listener = await connectNodeRedis(redis.url, { patient: true });
const server = new Child<ServerOrder, ServerTold>(join(import.meta.dirname, "server.ts"), {
  REDIS_URL: redis.url,
  CHANNEL_PREFIX: names.channelPrefix,
  TOKEN_PREFIX: names.tokenPrefix,
});
const { url } = await server.told("url");
const port = Number(new URL(url).port);
const bystander = new Child<BystanderOrder, BystanderTold>(join(import.meta.dirname, "bystander.ts"), {
  URL: url,
});
await bystander.told("there");

const agent = new Agent({ keepAlive: true, maxSockets: 10 });
const faults: string[] = [];
const sent = { frames: 0, connections: 0, requests: 0, payloads: 0, tokens: 0 };
let hasEnded = false;
void server.ended.then(({ code, signal }) => {
  hasEnded = true;
  if (!isStopping) faults.push(`the server has ended: ${signal ?? code}`);
});
let isStopping = false;

const sample = (): Promise<Sample> => server.ask("sample", "sample").then(({ sample: taken }) => taken);

function token(query = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(`${url}/socket/token${query}`, { agent }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve((JSON.parse(body) as { token: string }).token));
      response.on("error", reject);
    });
    // the server may give up an idle connection in the moment in which it is used again
    request.on("error", (error) => (request.reusedSocket ? resolve(token(query)) : reject(error)));
  });
}

const place = { url, token, serverDoes: () => {} };

/** Whether Redis answers somebody else: without it nobody is served, and that is no fault of the server's. */
async function isRedisThere(): Promise<boolean> {
  const client = await connectNodeRedis(redis.url);
  const answer = await Promise.race([client.ping(), delay(PATIENCE / 10, undefined, { ref: false })]);
  client.destroy();
  return answer === "PONG";
}

/** Runs one of them within the time. */
async function run(what: string, given: unknown, doing: Promise<unknown>): Promise<void> {
  const late = new AbortController();
  try {
    await Promise.race([
      doing,
      delay(PATIENCE, undefined, { signal: late.signal }).then(() => {
        throw new Error("it hangs");
      }),
    ]);
  } catch (error) {
    if (faults.length < MOST_FAULTS) {
      const there = await Promise.race([isRedisThere(), delay(PATIENCE / 5, false, { ref: false })]);
      if (!there) faults.push("Redis does not answer");
      faults.push(`${what}: ${error}: ${fc.stringify(given).slice(0, 4000)}`);
    }
  } finally {
    late.abort();
  }
}

/** The protocols and kinds of conversation, in turn. */
function talk(messages: ReturnType<typeof harmlessOf>[number], index: number): Promise<number> {
  return converse(place, index % 2 === 0 ? 3 : 4, messages);
}

const harmlessOf = (at: number) => fc.sample(manyMessagesOf(harmless), { seed: at, numRuns: 6 });

/** One batch, which its seed gives again. */
async function batch(at: number): Promise<void> {
  const settings = (numRuns: number) => ({ seed: at, numRuns });
  const doing: Promise<void>[] = [];
  const add = (what: string, given: unknown, frames: Promise<number>) =>
    doing.push(
      run(
        `${what} of seed ${at}`,
        given,
        frames.then((count) => (sent.frames += count)),
      ),
    );
  harmlessOf(at).forEach((messages, index) => {
    sent.connections++;
    add("a conversation", messages, talk(messages, index));
  });
  fc.sample(messagesOf(anything), settings(8)).forEach((messages, index) => {
    sent.connections++;
    add("a babble", messages, babble(place, index % 2 === 0, messages));
  });
  for (const steps of fc.sample(crowds, settings(6))) {
    sent.connections += 4;
    add("a crowd", steps, letIn(steps, place));
  }
  for (const visit of fc.sample(visits, settings(30))) {
    sent.connections++;
    sent.requests += countInputs(visit);
    const tokens = token().then((good) => ({ good: [good], used: good }));
    doing.push(
      run(
        `a visit of seed ${at}`,
        visit,
        tokens.then((given) => pay(port, visit, given)),
      ),
    );
  }
  for (const given of fc.sample(redisActs, settings(150))) {
    sent.payloads++;
    doing.push(run(`a payload of seed ${at}`, given, act(publisher, names, given)));
  }
  for (const record of fc.sample(tokenRecords, settings(10))) {
    sent.tokens++;
    doing.push(run(`a token of seed ${at}`, record, present(record)));
  }
  await Promise.all(doing);
}

/** Presents a token whose record was put into Redis by hand. */
async function present(record: string | Uint8Array): Promise<void> {
  const fuzzer = await Fuzzer.open(url);
  const forged = await forgeToken(publisher, names, record);
  fuzzer.send(JSON.stringify([JSON.stringify({ rpc: "auth", uuid: "auth", token: forged, protocol: 4 })]));
  await fuzzer.until(() => fuzzer.replies("auth") > 0);
  await fuzzer.fence();
  await fuzzer.end();
}

let next = 0;
async function fuzz(frames: number): Promise<void> {
  const others = async () => {
    while (sent.frames < frames && faults.length < MOST_FAULTS && !hasEnded) await batch(seed + next++);
  };
  // while one waits for its last answer the next is on its way
  await Promise.all([others(), others()]);
}

// what the server asks of the others is answered by what is no answer
await listener.subscribe(`${names.channelPrefix}___sync___`, (payload) => {
  const [id] = /"id":"[0-9a-f-]{36}"/.exec(payload) ?? [];
  if (id === undefined || payload.includes('"answer"')) return;
  const [data] = fc.sample(fc.json({ maxDepth: 2 }), 1);
  const sockets =
    Math.random() < 0.5 ? data : `{"sockets":${data},"sharing":${Math.random() < 0.5 ? data : 1}}`;
  publisher
    .publish(`${names.channelPrefix}___sync___`, `{"command":"answer","data":${sockets},${id},"origin":"x"}`)
    .catch(() => {});
});

const start = Date.now();
const seconds = () => Math.round((Date.now() - start) / 1000);
console.log(`seed ${seed}, ${total} frames, server at ${url}`);
const heaps: number[] = [];
const progress = setInterval(() => {
  if (hasEnded) return;
  sample().then(
    ({ heap, rss, sockets }) => {
      heaps.push(heap);
      console.log(
        `${seconds()} s: ${sent.frames} frames, ${sent.requests} requests, ${sent.payloads} payloads, ` +
          `heap ${inMib(heap)}, rss ${inMib(rss)} MiB, ${sockets} sockets, ${faults.length} faults`,
      );
    },
    () => {},
  );
}, PROGRESS);

/** Waits until the server has let go of all but the bystander, while it does nothing by itself: that needs timers, too. */
async function settle(hasLetGo: (now: Sample) => boolean): Promise<Sample> {
  agent.destroy();
  await server.ask("rest", "rests");
  return letGo(sample, hasLetGo, LET_GO);
}

await fuzz(total * FIRST);
const before = hasEnded
  ? undefined
  : await settle(({ sockets, channels }) => sockets === 1 && channels === 1);
server.order("go on");
await fuzz(total);
clearInterval(progress);
const after = hasEnded || !before ? undefined : await settle((now) => leftOver(now, before).length === 0);
const { served, longest, faults: missed } = await bystander.ask("report", "report");
faults.push(...missed);
isStopping = true;
await bystander.stop("stop");
if (before && after) {
  faults.push(...leftOver(after, before));
  if (after.heap > before.heap + HEAP_LEFT) {
    faults.push(`${inMib(after.heap - before.heap)} MiB more heap than at first`);
  }
  if (!(await server.stop("stop"))) faults.push("the server's process did not end by itself");
}
publisher.destroy();
listener.destroy();
await redis.stop();

const memory = (taken: Sample | undefined) => taken && { heap: inMib(taken.heap), rss: inMib(taken.rss) };
const results = {
  node: process.version,
  seed,
  seconds: seconds(),
  sent,
  bystander: { roundTrips: served, longest: Math.round(longest) },
  before: memory(before),
  most: { heap: inMib(Math.max(0, ...heaps)) },
  after: memory(after),
  faults,
};
console.log(results);
await writeFile(values.json, JSON.stringify(results, null, 2));
console.log(
  faults.length === 0 ? "Nothing was found." : `FAILED: ${faults.join("\n")}\n--seed ${seed} runs this again`,
);
process.exitCode = faults.length === 0 ? 0 : 1;
