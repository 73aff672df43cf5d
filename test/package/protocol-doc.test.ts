import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { createClient } from "redis";
import { RpcError } from "../../lib/index.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";
import type { WireClient } from "../support/wire-client.js";
import { ROOT } from "./installed-package.js";
import { type Block, blocksOf } from "./markdown.js";

type RedisClient = ReturnType<typeof makeClient>;

const DOCUMENT = readFileSync(join(ROOT, "docs/protocol.md"), "utf8");
const BLOCKS = blocksOf(DOCUMENT);

/** What a frame that a document calls a placeholder may be. */
const PLACEHOLDERS: Record<string, RegExp> = {
  token: /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  fid: /./,
  ms: /^\d+$/,
  etag: /^W\/"/,
  at1: /^[\w-]+\.\d+\.\d+$/,
  at2: /^[\w-]+\.\d+\.\d+$/,
  at3: /^[\w-]+\.\d+\.\d+$/,
  time: /^\d{13}$/,
};

describe("docs/protocol.md", () => {
  let redis: RedisServer;
  let clients: RedisClient[] = [];
  /** Another service, which knows Redis alone. */
  let service: RedisClient;
  let application: Application;
  /** What was published in Redis, each as a channel and a payload. */
  let published: string[];

  before(async () => {
    redis = await startRedis();
    const redisClient = makeClient(redis.url);
    const pubsubClient = makeClient(redis.url);
    const observer = makeClient(redis.url);
    service = makeClient(redis.url);
    clients = [redisClient, pubsubClient, observer, service];
    await Promise.all(clients.map((client) => client.connect()));
    await observer.pSubscribe("*", (payload, channel) => published.push(`${channel} ${payload}`));
    application = await startApplication({ redisClient, pubsubClient });
  });

  beforeEach(() => {
    published = [];
  });

  after(async () => {
    await application?.stop();
    for (const client of clients) client.destroy();
    await redis?.stop();
  });

  for (const block of BLOCKS) {
    if (block.info === "http") it(titleOf(block), () => request(block.code));
    else if (block.info === "ending") it(titleOf(block), () => replayApart(block));
    else if (block.info === "kept") it(titleOf(block), () => replayApart(block, KEEPING));
    else if (block.info === "present") it(titleOf(block), () => replayApart(block, PRESENT));
    else if (block.info === "shown") it(titleOf(block), () => replayApart(block, SHOWING));
    else it(titleOf(block), () => replay(block, application));
  }

  it("has examples of each frame that the server sends", () => {
    const sent = BLOCKS.map(({ code }) => code).join("");
    for (const command of ["subscribe", "unsubscribe", "rpc", "leave"]) {
      expect(sent).to.include(`← {"internal":true,"command":"${command}"`);
    }
    expect(sent).to.match(/^← \{"channel":/m);
    for (const field of ["item", "end", "error"]) {
      expect(sent).to.match(new RegExp(`^← \\{"stream":"q1","${field}":`, "m"));
    }
  });

  async function request(code: string): Promise<void> {
    const [, path, status, body] = /^GET (\S+)\n(\d+) (.*)\n$/.exec(code) ?? [];
    if (!path || !body) throw new Error("This is no request and response");
    const response = await fetch(application.url + path);
    expect(response.status).to.equal(Number(status));
    expectFrame(await response.json(), body, new Map());
  }

  /** For a block that ends its server, or needs another one. */
  async function replayApart(block: Block, options: ApplicationOptions["options"] = {}): Promise<void> {
    const apart = await startApplication({}, options);
    await replay(block, apart).finally(() => apart.stop());
  }

  async function replay({ code, info }: Block, application: Application): Promise<void> {
    const client = info === "open" ? await application.connect() : await application.open();
    const { tokenServer } = application;
    const socket = application.socket();
    const values = new Map<string, string>();
    const calls: Promise<unknown>[] = [];
    let isClosed = false;
    for (const line of code.trimEnd().split("\n")) {
      const [, sign, rest = ""] = /^(\S) (.*)$/.exec(line) ?? [];
      switch (sign) {
        case "→":
          if (rest.includes("<token>")) values.set("token", await application.token());
          if (rest.includes("<timed>")) values.set("timed", await application.token("?user=timed"));
          client.send(fill(rest, values));
          break;
        case "←":
          expectFrame(await client.take(), rest, values);
          break;
        case "✕": {
          const { code: closeCode, reason } = await client.closed;
          expect(`${closeCode} ${reason}`).to.equal(rest);
          isClosed = true;
          break;
        }
        case "#":
          calls.push(new Function("tokenServer", "socket", `return ${rest}`)(tokenServer, socket));
          break;
        case "$":
          await publish(rest);
          break;
        case "»":
          await until(() => published.includes(rest));
          break;
        default:
          throw new Error(`This line says nothing: ${line}`);
      }
    }
    await Promise.allSettled(calls);
    if (!isClosed) await expectNothingMore(client);
    await client.end();
  }

  /** Does what a line of `redis-cli PUBLISH` does. */
  async function publish(command: string): Promise<void> {
    const [, channel, payload] = /^redis-cli PUBLISH (\S+) '(.*)'$/.exec(command) ?? [];
    if (!channel || payload === undefined) throw new Error(`This is no PUBLISH: ${command}`);
    await service.publish(channel, payload);
  }
});

/** The options of a server that shows who is who. */
const SHOWING: ApplicationOptions["options"] = {
  identify: ({ name }) => String(name),
  showIdentity: ({ name }) => ({ name }),
};

/** The options of a server that keeps a history. */
const KEEPING: ApplicationOptions["options"] = { history: { "log:*": { size: 100, ttl: 60_000 } } };

/** The options of a server that makes known who is where. */
const PRESENT: ApplicationOptions["options"] = {
  identify: ({ name }) => String(name),
  presence: { "team:*": { info: ({ name }) => ({ name }) } },
};

/** Starts the examples' server. */
async function startApplication(
  clients: ApplicationOptions = {},
  options: ApplicationOptions["options"] = {},
): Promise<Application> {
  const application = await Application.start({
    ...clients,
    options: {
      authentication(req, callback) {
        if (req.query.user === "broken") return callback(new Error("Which user?"));
        const expiresAt = req.query.user === "timed" ? Date.now() + 3_600_000 : undefined;
        callback(null, req.query.user === "nobody" ? null : { name: "alice" }, { expiresAt });
      },
      ping: true,
      routes: { notes: { list: (req, res) => res.json({ notes: [], page: req.query.page }) } },
      socketController: {
        // takes so long that its caller gives up
        report: { year: (_auth: unknown, _data: unknown, _callback: unknown) => {} },
        count: async function* (_auth: unknown, { to }: { to: number }) {
          for (let i = 1; i <= to; i++) yield i;
        },
        math: { add: (_auth, { a, b }: { a: number; b: number }) => a + b },
        buy: () => Promise.reject(new RpcError("Sold out", { code: "E_SOLD_OUT", data: { left: 0 } })),
        check: (_auth, _data, callback) => callback([{ field: "name", problem: "is empty" }]),
      },
      ...options,
    },
  });
  const { tokenServer } = application;
  const allows = (_socket: unknown, { channel }: { channel: string }) => channel !== "secret";
  tokenServer.on("subscribe", allows);
  tokenServer.on("unsubscribe", allows);
  tokenServer.on("publish", allows);
  tokenServer.on("broadcast", (_socket, { data }) => data !== "spam");
  await tokenServer.ready();
  return application;
}

function makeClient(url: string) {
  return createClient({ url }).on("error", () => {});
}

/** How long Redis gets to deliver what was published, in milliseconds. */
const PATIENCE = 5000;

async function until(holds: () => boolean): Promise<void> {
  const end = Date.now() + PATIENCE;
  while (!holds()) {
    if (Date.now() > end) throw new Error("It did not happen in time");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Whatever comes before the answer to a ping would be a frame that the document does not show. */
async function expectNothingMore(client: WireClient): Promise<void> {
  await client.request({ rpc: "_ping", req: {}, uuid: "end" });
  expect(client.frames).to.deep.equal([]);
}

/** Compares a frame with the document's, where `<name>` stands for a value, which is kept. */
function expectFrame(actual: unknown, documented: string, values: Map<string, string>): void {
  // a number's placeholder has no quotes
  const expected: unknown = JSON.parse(documented.replace(/:(<\w+>)/g, ':"$1"'));
  expect(withPlaceholders(actual, expected, values)).to.deep.equal(expected);
}

/** A value in which each string is replaced by the document's placeholder at its place, if it may stand for it. */
function withPlaceholders(actual: unknown, expected: unknown, values: Map<string, string>): unknown {
  const name = typeof expected === "string" ? /^<(\w+)>$/.exec(expected)?.[1] : undefined;
  const isText = typeof actual === (name === "ms" || name === "time" ? "number" : "string");
  if (name && isText && PLACEHOLDERS[name]?.test(String(actual))) {
    values.set(name, String(actual));
    return expected;
  }
  if (typeof actual !== "object" || actual === null || typeof expected !== "object" || expected === null) {
    return actual;
  }
  if (Array.isArray(actual)) {
    return actual.map((item, index) => withPlaceholders(item, (expected as unknown[])[index], values));
  }
  return Object.fromEntries(
    Object.entries(actual).map(([key, value]) => [
      key,
      withPlaceholders(value, (expected as Record<string, unknown>)[key], values),
    ]),
  );
}

function fill(frame: string, values: Map<string, string>): string {
  return frame.replace(/<(\w+)>/g, (placeholder, name: string) => values.get(name) ?? placeholder);
}

function titleOf({ heading, number }: Block): string {
  return `shows ${heading}${number > 1 ? ` (${number})` : ""} as it is`;
}
