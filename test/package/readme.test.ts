import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "chai";
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from "jose";
import { launchBrowser } from "../support/browser.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";
import { ServerProcess } from "../support/server-process.js";
import { WireClient } from "../support/wire-client.js";
import { compile, installPackage, ROOT } from "./installed-package.js";
import { type Block, blocksOf } from "./markdown.js";

const DOCUMENTS = [
  "README.md",
  "SECURITY.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  "examples/chat/README.md",
  "examples/react/README.md",
  ...readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

/** The block of docs/README.md that all others without an application of their own are run with. */
const PRELUDE = "The examples' application";
const SHARED =
  "TokenSocketServer, RpcError, memoryRedis, express, session, sockjs, createServer, app, redis, sockjsServer, httpServer";

/** What a block of TypeScript that is run with it knows of it, for the compiler. */
const DECLARED = `
  declare const app: import("express").Express;
  declare const redis: import("node-token-sockjs/memory").MemoryRedis;
  declare const sockjsServer: import("sockjs").Server;
  declare const httpServer: import("node:http").Server;
`;

const TEXTS = new Map(DOCUMENTS.map((name) => [name, readFileSync(join(ROOT, name), "utf8")]));

/** How long a block gets to print what it says that it prints, in milliseconds. */
const PATIENCE = 10_000;

interface RunnableBlock extends Block {
  readonly document: string;
  readonly name: string;
  /** Its file in the project; a block of TypeScript is compiled first. */
  readonly file: string;
}

const BLOCKS: RunnableBlock[] = DOCUMENTS.flatMap((document, index) =>
  blocksOf(TEXTS.get(document) ?? "")
    // a block with a file's name belongs together with others, and is checked with them
    .filter(({ language, info }) => (language === "js" || language === "ts") && !info)
    .map((block) => {
      const suffix = block.language === "ts" ? "mts" : /\brequire\(/.test(block.code) ? "cjs" : "mjs";
      return {
        ...block,
        document,
        name: `${document}: ${block.heading}${block.number > 1 ? ` (${block.number})` : ""}`,
        file: `blocks/document-${index}-line-${block.line}.${suffix}`,
      };
    }),
);

/** Has a server of the documents, which listens at port 3000, listen at `PORT`, and say where that is. */
const LISTEN_ELSEWHERE = `data:text/javascript,${encodeURIComponent(`
  import { Server } from "node:net";
  const { listen } = Server.prototype;
  Server.prototype.listen = function () {
    return listen.call(this, Number(process.env.PORT), "127.0.0.1", () => {
      console.log("http://127.0.0.1:" + this.address().port);
    });
  };
`)}`;

/** What a check has of a block that runs. */
interface Running {
  readonly url: string;
  /** Obtains a token by a route, opens a connection and authenticates. */
  connect(options?: {
    token?: string;
    prefix?: string;
    protocol?: number;
    history?: boolean;
  }): Promise<WireClient>;
  /** What the block has printed, when it has printed so many lines. */
  printed(lines: number): Promise<string[]>;
  /** Lets the block have JSON of another service. */
  serve(url: string, body: object): Promise<unknown>;
}

describe("the documents", () => {
  let redis: RedisServer;
  let project: string;
  let runner: ChildProcess;
  let complaints: string;
  let told = 0;
  const clients: WireClient[] = [];

  before(async function () {
    this.timeout(300_000);
    [redis, project] = await Promise.all([startRedis(), installPackage()]);
    complaints = await writeBlocks(project);
    runner = fork(join(import.meta.dirname, "block-runner.mjs"), {
      cwd: project,
      execArgv: [],
      env: { ...process.env, REDIS_URL: redis.url },
    });
  });

  after(async () => {
    await Promise.all(clients.map((client) => client.end()));
    if (runner?.exitCode === null) {
      const exit = once(runner, "exit");
      runner.kill("SIGKILL");
      await exit;
    }
    await redis?.stop();
  });

  async function tell<Answer>(message: object | string): Promise<Answer> {
    const id = ++told;
    return new Promise((resolve) => {
      const listener = ({ of, answer }: { of: number; answer: Answer }) => {
        if (of !== id) return;
        runner.off("message", listener);
        resolve(answer);
      };
      runner.on("message", listener);
      runner.send({ id, message });
    });
  }

  async function run(block: RunnableBlock): Promise<Running> {
    const isComplete = /\bexpress\(\)/.test(block.code) || block.file.endsWith(".cjs");
    const needsServer = !isComplete && /\b(tokenServer|socket)\b/.test(block.code);
    const toUrl = (file: string) => pathToFileURL(join(project, file)).href;
    const { url = "", error } = await tell<{ url?: string; error?: string }>({
      prelude: isComplete ? undefined : toUrl("blocks/prelude.mjs"),
      needsServer: needsServer && !/new TokenSocketServer/.test(block.code),
      file: toUrl(block.file.replace(".mts", ".mjs")),
    });
    if (error) throw new Error(error);
    return {
      url,
      async connect({ token: route = "/socket/token", prefix = "/sockets", ...asked } = {}) {
        const { token } = (await (await fetch(url + route)).json()) as { token: string };
        const client = new WireClient(url + prefix, "websocket");
        clients.push(client);
        await client.opened;
        expect(await client.request({ rpc: "auth", token, ...asked })).to.have.property("resp", "success");
        return client;
      },
      serve: (url, body) => tell({ url, body }),
      async printed(lines) {
        const end = Date.now() + PATIENCE;
        for (;;) {
          const { printed } = await tell<{ printed: string[] }>("state");
          if (printed.length >= lines || Date.now() > end) return printed;
          await new Promise((resolve) => setImmediate(resolve));
        }
      },
    };
  }

  /** What a block's check has the server warn of. */
  const WARNINGS: Record<string, RegExp> = {
    "docs/authentication.md: verifyToken": /verifyToken has refused \S+: signature verification failed/,
  };

  for (const block of BLOCKS) {
    it(`runs ${block.name}`, async () => {
      const running = await run(block);
      const expected = [...block.code.matchAll(/\/\/ prints (.*)$/gm)].map(([, line]) => line);
      if (expected.length > 0) expect(await running.printed(expected.length)).to.deep.equal(expected);
      await CHECKS[block.name]?.(running);
      const { failed } = await tell<{ failed: string[] }>("state");
      expect(failed.filter((line) => !WARNINGS[block.name]?.test(line))).to.deep.equal([]);
    });
  }

  it("has a block for each check of it", () => {
    expect(BLOCKS.map(({ name }) => name)).to.include.members(Object.keys(CHECKS));
  });

  it("has TypeScript that type-checks", () => {
    // a block that is no module stands for itself: what it leaves to the reader cannot be checked
    const modules = BLOCKS.filter(({ file, code }) => file.endsWith(".mts") && /^import /m.test(code));
    expect(modules).to.have.length.greaterThan(0);
    const names = modules.map(({ file }) => file.replace("blocks/", ""));
    const ofModules = complaints.split("\n").filter((line) => names.some((name) => line.startsWith(name)));
    expect(ofModules).to.deep.equal([]);
  });

  it("says the same of the examples' server as the tests do", () => {
    const [, server] = BLOCKS.filter(({ heading }) => heading === PRELUDE);
    expect(server?.code).to.equal(
      "const tokenServer = new TokenSocketServer(app, redis, sockjsServer, { pubsubClient: redis });\n",
    );
  });

  it("shows a quick start whose page works, and is back by itself when the server was stopped and started", async function () {
    this.timeout(300_000);
    const [server] = BLOCKS.filter(({ name }) => name === "README.md: Quick start");
    const page = blocksOf(TEXTS.get("README.md") ?? "").find(({ language }) => language === "html");
    if (!server || !page) throw new Error("there is no quick start");
    const folder = join(project, "quick-start");
    await mkdir(folder);
    await writeFile(join(folder, "server.js"), server.code);
    await writeFile(join(folder, "index.html"), page.code);
    const start = (environment = {}) =>
      ServerProcess.start(join(folder, "server.js"), {
        NODE_OPTIONS: `--import=${LISTEN_ELSEWHERE}`,
        ...environment,
      });
    let running = await start();
    const browser = await launchBrowser();
    try {
      const tab = await browser.newPage();
      const shows = (text: string, times = 1) =>
        tab.waitForFunction(`document.body.innerText.split("${text}").length > ${times}`);
      await tab.goto(running.url);
      await shows("closed Forbidden");
      await tab.fill("input", "alice");
      await tab.click("button");
      await shows("Hello, alice of Wien");
      await shows("room: alice is here");
      // the history has the line of before
      await tab.reload();
      await shows("room: alice is here", 2);
      await running.stop();
      running = await start({ PORT: String(running.port) });
      await shows("room: alice is here", 3);
      // it is still the same page
      expect(await tab.innerText("pre")).to.include("Hello, alice of Wien");
    } finally {
      await browser.close();
      await running.stop();
    }
  });

  it("links to what is there", () => {
    const broken: string[] = [];
    for (const [document, text] of TEXTS) {
      for (const [, target = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(target)) continue;
        const [path = "", anchor] = target.split("#");
        const file = path ? join(dirname(document), path) : document;
        const there =
          existsSync(join(ROOT, file)) &&
          (anchor === undefined || anchorsOf(TEXTS.get(file) ?? "").includes(anchor));
        if (!there) broken.push(`${document}: ${target}`);
      }
    }
    expect(broken).to.deep.equal([]);
  });

  it("keeps its files free of folders of the machine that it was written on", () => {
    for (const [document, text] of TEXTS) {
      expect(text, document).not.to.match(/\/(?:home|root|tmp|work|Users)\//);
    }
  });
});

/** Writes all blocks into the project, and gives what the TypeScript compiler says of those that are its own. */
async function writeBlocks(project: string): Promise<string> {
  const folder = join(project, "blocks");
  await mkdir(folder, { recursive: true });
  const prelude = BLOCKS.find(({ heading }) => heading === PRELUDE);
  await writeFile(join(folder, "prelude.mjs"), `${prelude?.code}\nexport const shared = { ${SHARED} };\n`);
  for (const { file, document, code } of BLOCKS) {
    const declared = file.endsWith(".mts") && !/\bexpress\(\)/.test(code) ? DECLARED : "";
    await writeFile(join(project, file), (LEFT_TO_THE_READER[document] ?? "") + declared + code);
  }
  const files = BLOCKS.filter(({ file }) => file.endsWith(".mts")).map(({ file }) => file.slice(7));
  const compilerOptions = {
    target: "es2023",
    module: "nodenext",
    moduleDetection: "force",
    strict: true,
    types: ["node"],
    skipLibCheck: true,
    noEmitOnError: false,
  };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
  return compile(folder, ["-p", ".", "--pretty", "false"]);
}

/** The anchors of a document's headings, as GitHub makes them. */
function anchorsOf(markdown: string): string[] {
  const seen = new Map<string, number>();
  const headings = markdown.replace(/^```[\s\S]*?^```/gm, "").matchAll(/^#{1,6} +(.*)$/gm);
  return [...headings].map(([, heading = ""]) => {
    const slug = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\-_ ]/gu, "")
      .replaceAll(" ", "-");
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    return count === 0 ? slug : `${slug}-${count}`;
  });
}

/** What a document's blocks use without saying where it comes from. */
const LEFT_TO_THE_READER: Record<string, string> = {
  "docs/express-api.md":
    "const [requireEditor, addNote, explainErrors, notesOf] = Array(4).fill(() => {});\n",
};

/** Connects a client, whose session's cookie is told. */
async function enter(url: string): Promise<{ cookie: string; client: WireClient }> {
  const response = await fetch(`${url}/socket/token`);
  const [cookie = ""] = response.headers.getSetCookie();
  const { token } = (await response.json()) as { token: string };
  const client = new WireClient(`${url}/sockets`, "websocket");
  await client.opened;
  expect(await client.request({ rpc: "auth", token })).to.have.property("resp", "success");
  return { cookie, client };
}

/** What a block claims beyond that it runs, by the block's name. */
const CHECKS: Record<string, (running: Running) => Promise<void>> = {
  async "README.md: Six tastes"({ connect }) {
    const client = await connect();
    expect(await client.request({ rpc: "math.add", req: { a: 1, b: 2 } })).to.have.property("resp", 3);
  },
  async "README.md: Six tastes (2)"({ connect }) {
    const client = await connect();
    const { resp } = await client.request({ rpc: "notes.read", req: { id: 7 } });
    expect(resp).to.deep.equal({ id: 7, text: "by alice" });
    expect(await client.request({ rpc: "notes.read", req: { id: "7" } })).to.have.property("error");
  },
  async "README.md: Six tastes (3)"({ connect }) {
    const client = await connect();
    expect(await client.subscribe("user-8")).to.have.property("error", "Forbidden");
    expect(await client.subscribe("user-7")).to.have.property("internal", true);
    for (const request of [
      { rpc: "_publish", req: { channel: "user-7", data: 1 } },
      { rpc: "_broadcast", req: { data: 1 } },
    ]) {
      expect(await client.request(request)).to.have.property("error", "Forbidden");
    }
  },
  async "README.md: Six tastes (5)"({ connect, url }) {
    const notes = { notes: ["Buy milk"], page: 2 };
    expect(await (await fetch(`${url}/notes?page=2`)).json()).to.deep.equal(notes);
    const client = await connect();
    const { resp } = await client.request({ rpc: "notes.list", req: { page: 2 } });
    expect(resp)
      .to.deep.include({ ...notes, _code: 200 })
      .and.to.have.property("_headers");
  },
  async "README.md: Six tastes (6)"({ connect }) {
    const client = await connect({ protocol: 4 });
    expect(await client.request({ rpc: "countdown", req: { from: 3 }, uuid: "s" })).to.have.property(
      "stream",
      true,
    );
    client.send({ rpc: "_credit", req: { uuid: "s", items: 9 } });
    for (const item of [3, 2, 1]) expect(await client.take()).to.deep.equal({ stream: "s", item });
    expect(await client.take()).to.deep.equal({ stream: "s", end: true });
  },
  async "README.md: Production"(running) {
    await joinsChannel(running);
    expect(await (await fetch(`${running.url}/health`)).json()).to.have.property("draining", false);
  },
  "docs/redis.md: Redis clients": joinsChannel,
  "docs/redis.md: Redis clients (2)": joinsChannel,
  "docs/redis.md: The embedded store": joinsChannel,
  "docs/redis.md: pubsubClient": joinsChannel,
  "docs/redis.md: channelPrefix": joinsChannel,
  async "docs/server.md: Several servers"({ connect }) {
    await connect();
    await connect({ token: "/admin/token", prefix: "/admin/sockets" });
  },
  async "docs/options.md: prefix"({ connect }) {
    await connect({ prefix: "/live" });
  },
  async "docs/authentication.md: tokenRoute"({ connect }) {
    await connect({ token: "/live/token" });
  },
  async "docs/calls.md: socketController"({ connect }) {
    const client = await connect();
    expect((await client.request({ rpc: "math.add", req: { a: 2, b: 3 } })).resp).to.equal(5);
    expect((await client.request({ rpc: "whoAmI" })).resp).to.equal("alice");
  },
  async "docs/calls.md: routes"({ connect, url }) {
    expect(await (await fetch(`${url}/who-am-i`)).json()).to.deep.equal({ name: "alice" });
    const client = await connect();
    expect((await client.request({ rpc: "whoAmI" })).resp).to.include({ name: "alice", _code: 200 });
    expect((await client.request({ rpc: "echo", req: { a: 1 } })).resp).to.include({ a: 1 });
  },
  async "docs/authentication.md: customMiddleware"({ url }) {
    expect((await fetch(`${url}/socket/token`)).status).to.equal(403);
  },
  async "docs/authentication.md: authentication"({ connect, url }) {
    const refused = await fetch(`${url}/socket/token`);
    expect(refused.status).to.equal(500);
    expect(await refused.json()).to.deep.equal({ error: "Which project?" });
    await connect({ token: "/socket/token?project=7" });
  },
  async "docs/authentication.md: verifyToken"({ url, serve }) {
    const iss = "https://login.example.com";
    const [theirs, foreign] = await Promise.all([generateKeyPair("RS256"), generateKeyPair("RS256")]);
    const jwk = { ...(await exportJWK(theirs.publicKey)), kid: "1", alg: "RS256" };
    await serve(`${iss}/.well-known/jwks.json`, { keys: [jwk] });
    const now = Math.floor(Date.now() / 1000);
    const claims = { sub: "7", iss, aud: "sockets", exp: now + 60 };
    const sign = (changed: object, key: CryptoKey | Uint8Array = theirs.privateKey, alg = "RS256") =>
      new SignJWT({ ...claims, ...changed }).setProtectedHeader({ alg, kid: "1" }).sign(key);
    const present = async (token: string) => {
      const client = new WireClient(`${url}/sockets`, "websocket");
      await client.opened;
      const reply = await client.request({ rpc: "auth", token });
      if (reply.resp === "success") await client.end();
      return reply.error === "Token not found" ? (await client.closed).code : reply.resp;
    };
    const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
    const good = await sign({});
    const [header, , signature] = good.split(".");
    const publicKey = new TextEncoder().encode(JSON.stringify(jwk));
    const tokens = {
      good,
      "of a foreign key": await sign({}, foreign.privateKey),
      "with other claims than were signed": `${header}.${encode({ ...claims, sub: "8" })}.${signature}`,
      "for another audience": await sign({ aud: "mail" }),
      "of another issuer": await sign({ iss: "https://login.example.net" }),
      expired: await sign({ exp: now - 1 }),
      "without an end": await sign({ exp: undefined }),
      "of nobody": await sign({ sub: undefined }),
      unsigned: `${encode({ alg: "none" })}.${encode(claims)}.`,
      "signed by the public key": await sign({}, publicKey, "HS256"),
    };
    for (const [name, token] of Object.entries(tokens)) {
      expect(await present(token), name).to.equal(name === "good" ? "success" : 4401);
    }
  },
  async "docs/channels.md: filter"({ connect }) {
    const client = await connect();
    await client.subscribe("room");
    for (const from of ["bob", "alice"]) {
      client.send({ rpc: "_publish", req: { channel: "room", data: { from, draft: true } } });
    }
    expect(await client.message("room")).to.deep.equal({ from: "bob" });
    expect(await client.message("room")).to.deep.equal({ from: "alice", draft: true });
  },
  async "docs/delivery.md: history"({ connect }) {
    const client = await connect({ protocol: 4, history: true });
    client.send({ rpc: "_subscribe", req: { channel: "room:1", last: 5 }, uuid: "s" });
    expect(await client.message("room:1")).to.deep.equal({ text: "hello" });
    expect((await client.take(({ uuid }) => uuid === "s")).resp).to.have.property("recovered", 1);
  },
  async "docs/delivery.md: Who may read the past"({ connect }) {
    const client = await connect();
    expect(await client.subscribe("room")).to.have.property("internal", true);
  },
  async "docs/presence.md: presence"({ connect }) {
    const client = await connect({ protocol: 4 });
    await client.subscribe("room:1");
    const { resp } = await client.request({ rpc: "_presence", req: { channel: "room:1" } });
    expect(resp).to.have.property("count", 1);
  },
  async "docs/options.md: ping"({ connect }) {
    const client = await connect();
    expect((await client.request({ rpc: "_ping", req: {} })).resp).to.deep.equal({ message: "pong" });
  },
  async "docs/origins.md: jsonp"({ url }) {
    const ask = async (referer: string) =>
      (await fetch(`${url}/socket/token?callback=take`, { headers: { referer } })).status;
    expect(await ask("https://partner.example/page")).to.equal(200);
    expect(await ask("https://other.example/page")).to.equal(403);
  },
  async "docs/limits.md: limits"({ connect }) {
    const client = await connect();
    client.send("[".repeat(33) + "]".repeat(33));
    expect(await client.take()).to.deep.equal({ error: "Invalid message" });
  },
  async "docs/events.md: Guards"({ connect }) {
    const client = await connect();
    expect(await client.subscribe("user-8")).to.have.property("error", "Forbidden");
    expect(await client.subscribe("user-7")).to.have.property("internal", true);
    expect(await client.request({ rpc: "_publish", req: { channel: "user-7", data: 1 } })).to.have.property(
      "error",
      "Forbidden",
    );
    expect(await client.request({ rpc: "_broadcast", req: { data: 1 } })).to.have.property(
      "error",
      "Forbidden",
    );
  },
  async "docs/events.md: Guards (2)"({ connect }) {
    const client = await connect();
    expect((await client.request({ rpc: "_publish", req: { channel: "a", data: 1 } })).error).to.deep.equal({
      message: "A message needs a text",
    });
    expect(await client.subscribe("a")).to.have.property("internal", true);
  },
  async "docs/events.md: Guards (3)"({ connect }) {
    const client = await connect();
    await client.subscribe("room");
    client.send({ rpc: "_publish", req: { channel: "room", data: { text: "hello" } } });
    expect(await client.message("room")).to.deep.equal({ text: "hello", from: "alice" });
  },
  async "docs/events.md: Guards (4)"({ connect }) {
    const client = await connect();
    expect((await client.request({ rpc: "admin.stop" })).error).to.equal("Forbidden");
    expect((await client.request({ rpc: "other" })).error).to.equal("Function not found");
  },
  async "docs/events.md: Guards (5)"({ url }) {
    const { token } = (await (await fetch(`${url}/socket/token`)).json()) as { token: string };
    const client = new WireClient(`${url}/sockets`, "websocket");
    await client.opened;
    const reply = client.request({ rpc: "auth", token });
    const { fid, command } = await client.takeCall();
    expect(command).to.equal("getVersion");
    client.send({ rpc: "_rpc", fid, resp: { data: { version: 3 } } });
    expect(await reply).to.have.property("resp", "success");
    await client.end();
  },
  async "docs/events.md: Notices"({ connect, printed }) {
    const client = await connect();
    await client.subscribe("room");
    client.send({ rpc: "_publish", req: { channel: "room", data: 1 } });
    const lines = await printed(4);
    expect(lines).to.include.members(["alice has come", "alice is in room", "room 1"]);
  },
  async "docs/calls.md: Client to server"({ connect }) {
    const client = await connect();
    const call = async (rpc: string, req: unknown) => (await client.request({ rpc, req })).resp;
    expect(await call("math.add", { a: 1, b: 2 })).to.equal(3);
    expect(await call("rename", { name: "Ada" })).to.equal(null);
    expect(await call("channels", {})).to.deep.equal([]);
  },
  async "docs/calls.md: Plain functions"({ connect }) {
    const client = await connect();
    const call = async (rpc: string, req: unknown) => {
      const { resp, error } = await client.request({ rpc, req });
      return resp ?? error;
    };
    expect(await call("math.add", { a: 1, b: 2 })).to.equal(3);
    expect(await call("math.later", [1, 2])).to.deep.equal([1, 2]);
    expect(await call("math.divide", { a: 1, b: 2 })).to.equal(0.5);
    expect(await call("math.divide", { a: 1, b: 0 })).to.deep.equal({ message: "Division by zero" });
    expect(await call("channels", {})).to.deep.equal([]);
  },
  async "docs/calls.md: Procedures"({ connect }) {
    const client = await connect();
    const { resp } = await client.request({ rpc: "notes.read", req: { id: 7 } });
    expect(resp).to.deep.equal({ id: 7, text: "by alice" });
    const { error } = await client.request({ rpc: "notes.read", req: { id: "x" } });
    expect(TEXTS.get("docs/calls.md")).to.include(`is answered\n\`${JSON.stringify(error)}\``);
  },
  async "docs/calls.md: Express routes"({ connect }) {
    const client = await connect();
    const { resp } = await client.request({ rpc: "notes.add", req: { text: "x" } });
    expect(resp).to.include({ id: 1, text: "x", _code: 201 });
    const list = await client.request({ rpc: "notes.list", req: { page: "2" } });
    expect(list.resp).to.deep.include({ notes: ["by alice"], page: 2 });
  },
  async "docs/authentication.md: Sessions"({ url }) {
    const { cookie, client } = await enter(url);
    await fetch(`${url}/login`, { method: "POST", redirect: "manual", headers: { cookie } });
    expect((await client.closed).code).to.equal(4001);
  },
  async "docs/authentication.md: Sessions (2)"({ url }) {
    const { cookie, client } = await enter(url);
    const answer = await fetch(`${url}/logout`, { method: "POST", redirect: "manual", headers: { cookie } });
    expect(answer.headers.get("location")).to.equal("/");
    expect((await client.closed).code).to.equal(4001);
  },
  async "docs/authentication.md: Sessions in a cookie"({ url }) {
    const post = async (path: string, cookie = "") => {
      const response = await fetch(url + path, { method: "POST", redirect: "manual", headers: { cookie } });
      return response.headers.getSetCookie().map((line) => line.split(";")[0]);
    };
    const ask = (cookie: string) => fetch(`${url}/socket/token`, { headers: { cookie } });
    expect((await ask("")).status).to.equal(403);
    const [cookie, other] = [(await post("/login")).join("; "), (await post("/login")).join("; ")];
    const { token } = (await (await ask(cookie)).json()) as { token: string };
    const client = new WireClient(`${url}/sockets`, "websocket");
    await client.opened;
    expect(await client.request({ rpc: "auth", token })).to.have.property("resp", "success");
    await post("/logout", cookie);
    expect((await client.closed).code).to.equal(4001);
    expect([(await ask(cookie)).status, (await ask(other)).status]).to.deep.equal([403, 200]);
  },
  async "docs/errors.md: What clients see"({ connect }) {
    const client = await connect();
    const { error } = await client.request({ rpc: "buy", req: {} });
    expect(TEXTS.get("docs/errors.md")).to.include(`The client gets \`${JSON.stringify(error)}\``);
  },
};

async function joinsChannel({ connect }: Running): Promise<void> {
  const client = await connect();
  const uuid = "1";
  client.send({ rpc: "_subscribe", req: { channel: "room" }, uuid });
  const { error } = await client.take((frame) => frame.uuid === uuid || frame.data?.uuid === uuid);
  expect(error).to.equal(undefined);
}
