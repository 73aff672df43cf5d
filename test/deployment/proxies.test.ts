import { readFileSync } from "node:fs";
import { type IncomingMessage, type RequestOptions, request } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { TokenSocket, type TokenSocketOptions } from "../../lib/client/index.js";
import { happened, QUICK } from "../client/support.js";
import { ROOT } from "../package/installed-package.js";
import { blocksOf } from "../package/markdown.js";
import { HAPROXY, NGINX, type ProxyKind, ProxyProcess } from "../support/proxy.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";
import { bundledFile } from "../support/script-bundle.js";
import { ServerProcess } from "../support/server-process.js";
import { WireClient } from "../support/wire-client.js";

const DOCUMENT = readFileSync(join(ROOT, "docs/deployment.md"), "utf8");

/** Starting processes may take a while on a busy machine. */
const STARTING = 60_000;

/** nginx leaves a server alone for 10 s that has refused connections, and there are two of them. */
const RESTARTING = 120_000;

/** How many clients it takes at most until each of two servers has one: of so many, hardly ever none. */
const MANY = 40;

const PLAIN: TokenSocketOptions = { sockjs: false };
const FALLBACKS: [string, TokenSocketOptions][] = [
  ["xhr-streaming", { WebSocket: false, sockjs: { transports: "xhr-streaming" } }],
  ["eventsource", { WebSocket: false, sockjs: { transports: "eventsource" } }],
  ["xhr-polling", { WebSocket: false, sockjs: { transports: "xhr-polling" } }],
];
const TRANSPORTS: [string, TokenSocketOptions][] = [
  ["a plain WebSocket", PLAIN],
  ["SockJS over WebSocket", { WebSocket: false, sockjs: { transports: "websocket" } }],
  ...FALLBACKS,
];

/** An address that is not the proxy's; elsewhere loopback has only one. */
const CLIENT_ADDRESS = process.platform === "linux" ? "127.0.0.2" : "127.0.0.1";

/** Notes how many attempts a client has needed each time that it came back. */
function countAttempts(client: TokenSocket): number[] {
  const counts: number[] = [];
  let attempts = 0;
  client.on("state", (state) => {
    if (state === "connecting") attempts++;
    if (state !== "open") return;
    counts.push(attempts);
    attempts = 0;
  });
  return counts;
}

/** What a server says of a connection. */
interface Place {
  readonly port: number;
  readonly ip: string;
  readonly ips: string[];
  readonly host: string;
}

/** Two servers with one Redis behind a proxy, and clients. */
class Site {
  readonly servers: ServerProcess[];
  readonly proxy: ProxyProcess;
  readonly #start: (port: number) => Promise<ServerProcess>;
  #clients: TokenSocket[] = [];

  static async start(
    kind: ProxyKind,
    { url }: RedisServer,
    more: Record<string, string> = {},
  ): Promise<Site> {
    const [configuration, another] = blocksOf(DOCUMENT).filter(({ language }) => language === kind.language);
    if (!configuration || another) throw new Error(`The document needs one configuration for ${kind.name}`);
    const environment = { REDIS_URL: url, ...more };
    const script = await bundledFile(join(import.meta.dirname, "server.ts"));
    const start = (port: number) => ServerProcess.start(script, { ...environment, PORT: String(port) });
    const servers = await Promise.all([start(0), start(0)]);
    const ports = servers.map(({ port }) => port);
    try {
      return new Site(servers, await ProxyProcess.start(kind, configuration.code, ports), start);
    } catch (error) {
      await Promise.all(servers.map((server) => server.kill()));
      throw error;
    }
  }

  private constructor(
    servers: ServerProcess[],
    proxy: ProxyProcess,
    start: (port: number) => Promise<ServerProcess>,
  ) {
    this.servers = servers;
    this.proxy = proxy;
    this.#start = start;
  }

  /** Ends a server and starts it again; resolves when the proxy uses it, for sessions of SockJS, too. */
  async restart(server: ServerProcess): Promise<void> {
    const { url, port } = server;
    await server.stop();
    this.servers[this.servers.indexOf(server)] = await this.#start(port);
    const get = async (address: string) => (await fetch(address)).text();
    while ((await get(`${this.proxy.url}/port`)) !== String(port)) await delay(50);
    for (let probe = 0; !(await get(`${url}/requests`)).includes("probe"); probe++) {
      await get(`${this.proxy.url}/sockets/000/probe${probe}/xhr`);
      await delay(50);
    }
  }

  client(options: TokenSocketOptions): TokenSocket {
    const client = new TokenSocket({ host: this.proxy.url, backoff: QUICK, ...options });
    this.#clients.push(client);
    return client;
  }

  /** Connects clients until each server has one at least; gives them by the ports of their servers. */
  async clientsOfBoth(options: TokenSocketOptions): Promise<Map<number, TokenSocket[]>> {
    const clients = new Map<number, TokenSocket[]>(this.servers.map(({ port }) => [port, []]));
    for (let count = 0; count < MANY; count++) {
      const client = this.client(options);
      const { port } = await placeOf(client);
      clients.get(port)?.push(client);
      if ([...clients.values()].every(({ length }) => length > 0)) return clients;
    }
    throw new Error("One server gets all connections");
  }

  /** For each session of SockJS the servers that its requests came to, once for each request. */
  async sessions(): Promise<Map<string, number[]>> {
    const sessions = new Map<string, number[]>();
    for (const { url, port } of this.servers) {
      for (const line of (await (await fetch(`${url}/requests`)).json()) as string[]) {
        const [, session] = /^\w+ \/sockets\/[^/]+\/([^/]+)\//.exec(line) ?? [];
        if (session) sessions.set(session, [...(sessions.get(session) ?? []), port]);
      }
    }
    return sessions;
  }

  async endClients(): Promise<void> {
    const clients = this.#clients;
    this.#clients = [];
    await Promise.all(clients.map((client) => client.end()));
  }

  async stop(): Promise<void> {
    await this.endClients();
    await Promise.all([this.proxy.stop(), ...this.servers.map((server) => server.kill())]);
  }
}

function placeOf(client: TokenSocket): Promise<Place> {
  return client.rpc("where") as Promise<Place>;
}

/** Makes a request, and leaves its body to the caller. */
function ask(url: string, options: RequestOptions, body?: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { agent: false, ...options }, resolve).on("error", reject);
    if (body === undefined) asked.flushHeaders();
    else asked.write(body);
    if (body !== undefined || options.method === undefined) asked.end();
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  return text;
}

for (const kind of [NGINX, HAPROXY]) {
  describe(`Two servers behind ${kind.name}, as the document configures it`, () => {
    let redis: RedisServer;
    let site: Site;

    before(async function () {
      this.timeout(STARTING);
      redis = await startRedis();
      site = await Site.start(kind, redis);
    });
    afterEach(() => site.endClients());
    after(async () => {
      await site?.stop();
      await redis?.stop();
    });

    for (const [name, options] of TRANSPORTS) {
      it(`are one system for clients over ${name}`, async () => {
        const clients = [...(await site.clientsOfBoth(options)).values()].flat();
        const [publisher] = clients;
        await Promise.all(clients.map((client) => client.subscribe("room")));
        const heard = Promise.all(clients.map((client) => happened(client, "message")));
        await publisher?.publish("room", `over ${name}`);
        expect(await heard).to.deep.equal(clients.map(() => ["room", `over ${name}`]));
      });
    }

    it("get all requests of a session at the same one, and sessions at both", async () => {
      for (const [, options] of FALLBACKS) {
        const clients = [...(await site.clientsOfBoth(options)).values()].flat();
        for (const client of clients) await client.rpc("length", { text: "another request" });
      }
      const sessions = [...(await site.sessions()).values()];
      for (const ports of sessions) {
        expect(ports).to.have.length.greaterThan(1);
        expect(new Set(ports)).to.have.property("size", 1);
      }
      expect(new Set(sessions.flat())).to.have.property("size", 2);
    });

    it("take tokens that are asked for by POST", async () => {
      const client = site.client({ tokenMethod: "POST", authentication: { project: 7 } });
      expect(await placeOf(client)).to.have.property("port");
    });

    for (const [transport, method] of [
      ["xhr_streaming", "POST"],
      ["eventsource", "GET"],
      ["htmlfile?c=take", "GET"],
    ] as const) {
      it(`pass each message of ${transport} on at once`, async () => {
        const session = `${site.proxy.url}/sockets/000/${transport.slice(0, 4)}${Date.now()}`;
        const abort = new AbortController();
        const { body } = await fetch(`${session}/${transport}`, { method, signal: abort.signal });
        const reader = body?.pipeThrough(new TextDecoderStream()).getReader();
        let text = "";
        const until = async (wanted: RegExp) => {
          while (!wanted.test(text)) {
            const { value, done } = (await reader?.read()) ?? {};
            if (done) throw new Error(`it has ended after ${text}`);
            text += value ?? "";
          }
          text = text.replace(wanted, "");
        };
        try {
          await until(/\bo\b/);
          // each one is only caused when the one before has come, in the same response
          for (let count = 0; count < 3; count++) {
            await fetch(`${session}/xhr_send`, { method: "POST", body: JSON.stringify(["no JSON"]) });
            await until(/Invalid message/);
          }
        } finally {
          abort.abort();
          await reader?.closed.catch(() => {});
        }
      });
    }

    it("see the client's own address and the host that it has asked for, whatever it says of these", async () => {
      const options = {
        localAddress: CLIENT_ADDRESS,
        headers: {
          host: "chat.example:8080",
          "x-forwarded-for": "192.0.2.1",
          "x-forwarded-host": "evil.example",
          "x-forwarded-proto": "https",
        },
      };
      const seen = JSON.parse(await textOf(await ask(`${site.proxy.url}/seen`, options)));
      expect(seen).to.deep.equal({ protocol: "http", host: "chat.example:8080", ip: CLIENT_ADDRESS });
      const { token } = JSON.parse(await textOf(await ask(`${site.proxy.url}/socket/token`, options)));
      const client = new WireClient(`${site.proxy.url}/sockets`, "raw-websocket");
      await client.opened;
      await client.request({ rpc: "auth", token });
      const { resp } = await client.request({ rpc: "where" });
      expect(resp).to.include({ ip: CLIENT_ADDRESS, host: "chat.example:8080" });
      expect(resp).to.have.property("ips").that.deep.equals([CLIENT_ADDRESS]);
      await client.end();
    });

    it("know a page of their own by its referrer", async () => {
      const answer = async (referer: string) =>
        (await fetch(`${site.proxy.url}/socket/token?callback=take`, { headers: { referer } })).status;
      expect(await answer(`${site.proxy.url}/page`)).to.equal(200);
      expect(await answer("http://evil.example/page")).to.equal(403);
    });

    it("never see a request that is too large", async () => {
      const url = `${site.proxy.url}/sockets/000/toolarge/xhr_send`;
      const announced = await ask(url, { method: "POST", headers: { "content-length": 4_194_305 } });
      expect(announced.statusCode).to.equal(413);
      announced.destroy();
      const unannounced = await ask(
        url,
        { method: "POST", headers: { "transfer-encoding": "chunked" } },
        "x".repeat(kind === HAPROXY ? 15_000 : 4_194_305),
      );
      expect(unannounced.statusCode).to.equal(413);
      unannounced.destroy();
      expect([...(await site.sessions()).keys()]).not.to.include("toolarge");
    });

    // with HAProxy, only browsers may send so much
    if (kind === NGINX) {
      it("take all at once what a client has let wait for its connection", async () => {
        const client = site.client({ ...FALLBACKS[0]?.[1], queue: { bytes: 1_048_576 } });
        const texts = Array.from({ length: 100 }, () => '\u{1F600}"\n'.repeat(1100));
        const lengths = await Promise.all(texts.map((text) => client.rpc("length", { text })));
        expect(lengths).to.deep.equal(texts.map(({ length }) => length));
      });
    }
  });

  describe(`A server behind ${kind.name}`, () => {
    let redis: RedisServer;
    let site: Site;

    before(async () => {
      redis = await startRedis();
    });
    afterEach(() => site?.stop());
    after(() => redis?.stop());

    /** Starts a site with clients of each transport at both servers; `gone` are those at the server that `end` will end. */
    async function begin(options: TokenSocketOptions, more: Record<string, string> = {}) {
      site = await Site.start(kind, redis, more);
      const [ending, other] = site.servers;
      if (!ending || !other) throw new Error("There are no two servers");
      const gone: TokenSocket[] = [];
      const staying: TokenSocket[] = [];
      for (const [, transport] of [TRANSPORTS[0] ?? [], ...FALLBACKS]) {
        const clients = await site.clientsOfBoth({ ...transport, ...options });
        gone.push(...(clients.get(ending.port) ?? []));
        staying.push(...(clients.get(other.port) ?? []));
      }
      const all = [...gone, ...staying];
      await Promise.all(all.map((client) => client.subscribe("room")));
      return { ending, other, gone, staying, all };
    }

    async function publish(clients: TokenSocket[]) {
      const heard = Promise.all(clients.map((client) => happened(client, "message")));
      await clients[0]?.publish("room", "here again");
      await heard;
    }

    it("leaves its clients to the other one when it shuts down, and those of the other one alone", async function () {
      this.timeout(STARTING);
      const { ending, other, gone, staying, all } = await begin({});
      const states: string[] = [];
      for (const client of staying) client.on("state", (state) => states.push(state));
      // a fallback may hear of it too late, between two of its requests
      const [plain] = gone;
      if (!plain) throw new Error("There is no client");
      const told = happened(plain, "state");
      const back = Promise.all(gone.map((client) => happened(client, "reconnect")));
      const [ended] = await Promise.all([ending.stop(), back]);
      expect(ended).to.deep.equal({ code: 0, signal: null });
      const [, , reason] = await told;
      expect(reason).to.have.property("status", 4000);
      for (const client of all) expect(await placeOf(client)).to.have.property("port", other.port);
      await publish(all);
      expect(states).to.deep.equal([]);
    });

    it("has each client come back with its first attempt when it drains as the document has it", async function () {
      this.timeout(STARTING);
      const { ending, other, gone, staying, all } = await begin({ backoff: {} }, { DRAIN: "3000" });
      const attempts = all.map(countAttempts);
      const back = Promise.all(gone.map((client) => happened(client, "reconnect")));
      await Promise.all([ending.stop(), back]);
      for (const client of all) expect(await placeOf(client)).to.have.property("port", other.port);
      await publish(all);
      expect(attempts).to.deep.equal([...gone.map(() => [1]), ...staying.map(() => [])]);
    });

    it("may be restarted, and then the other one, while each client comes back with its first attempt", async function () {
      this.timeout(RESTARTING);
      const { gone, staying, all } = await begin({ backoff: {} }, { DRAIN: "3000" });
      // one client of each keeps its server draining to the end, when the others have long been asked to go
      for (const [client] of [gone, staying]) client?.rpc("hang").catch(() => {});
      const attempts = all.map(countAttempts);
      for (const server of [...site.servers]) {
        await site.restart(server);
        await Promise.all(all.map((client) => client.ready()));
      }
      expect(attempts.flat())
        .to.include(1)
        .and.satisfy((counts: number[]) => counts.every((count) => count === 1));
      await publish(all);
    });

    it("leaves its clients to the other one when it dies", async function () {
      this.timeout(STARTING);
      // in Node.js a fallback that is cut off notices nothing else
      const { ending, other, gone, all } = await begin({ ping: 200 });
      const back = Promise.all(gone.map((client) => happened(client, "reconnect")));
      await ending.kill();
      await back;
      for (const client of all) expect(await placeOf(client)).to.have.property("port", other.port);
      await publish(all);
    });
  });
}
