import { expect } from "chai";
import type { Express } from "express";
import type { Browser, Page } from "playwright-core";
import type { TokenSocket } from "../../lib/client/index.js";
import { happened, Stage } from "../client/support.js";
import { launchBrowser } from "../support/browser.js";

const CLIENTS = 200;
const ROOMS = 10;

/**
 * The longest wait, in milliseconds. Where the bound of the waits does not grow, each wait is anything from nothing
 * to this, with the same probability.
 */
const WINDOW = 1500;
const BUCKETS = 10;

const OPTIONS = {
  backoff: { min: WINDOW, max: WINDOW },
  // no attempt is to be given up because the machine that all of them share is busy
  webSocketTimeout: 30_000,
  connectTimeout: 30_000,
  queue: { age: 60_000 },
};

/** How many clients connect at once in the beginning. */
const BATCH = 20;

/** A page that does what each client in Node.js does. */
const PAGE = `<!doctype html>
<html lang="en">
  <title>A page</title>
  <script src="/socket/client.js"></script>
  <script>
    const client = new TokenSocket(${JSON.stringify(OPTIONS)});
    const outcome = (call) => call.then((value) => ({ value }), ({ code, sent }) => ({ code, sent }));
    const begin = async () => {
      await client.subscribe("room 0");
      window.lost = outcome(client.rpc("never", "page"));
      await client.rpc("echo", 1);
      client.once("state", () => {
        window.queued = outcome(client.rpc("buy", "page"));
      });
      window.back = new Promise((resolve) => client.onreconnect(resolve));
      window.heard = new Promise((resolve) => client.onmessage((...message) => resolve(message)));
    };
  </script>
</html>`;

/** How a call has ended. */
type Outcome = { value: unknown } | { code: unknown; sent: unknown };

const outcome = (call: Promise<unknown>): Promise<Outcome> =>
  call.then(
    (value) => ({ value }),
    ({ code, sent }) => ({ code, sent }),
  );

/** One line for each bucket, with a bar. */
function histogram(counts: readonly number[]): string {
  const lines = counts.map((count, index) => {
    const from = String((index * WINDOW) / BUCKETS).padStart(5);
    return `${from} ms ${"#".repeat(count)} ${count}`;
  });
  return lines.map((line) => `      ${line}`).join("\n");
}

describe("200 clients in Node.js and a page in Chromium whose server is killed and started again", () => {
  let stage: Stage;
  let browser: Browser;
  let page: Page;

  before(async () => {
    browser = await launchBrowser();
  });
  after(() => browser.close());

  beforeEach(async () => {
    stage = new Stage();
    page = await browser.newPage();
  });
  afterEach(async () => {
    await page.close();
    await stage.clear();
  });

  it("are all back, one after the other, with their channels, and no call is lost without an error", async () => {
    /** How often each client's call was carried out, by any server. */
    const begun = new Map<unknown, number>();
    const bought = new Map<unknown, number>();
    const count = (counts: Map<unknown, number>, id: unknown) => counts.set(id, (counts.get(id) ?? 0) + 1);
    /** When the tokens were asked for. */
    const asked: number[] = [];
    const application = {
      prepare: (app: Express) => {
        app.get("/page", (_req, res) => res.type("html").send(PAGE));
        app.use("/socket/token", (_req, _res, next) => {
          asked.push(performance.now());
          next();
        });
      },
      options: {
        socketController: {
          echo: async (_auth: unknown, data: unknown) => data,
          buy: async (_auth: unknown, id: unknown) => {
            count(bought, id);
            return id;
          },
          never: (_auth: unknown, id: unknown) => {
            count(begun, id);
            return new Promise(() => {});
          },
        },
      },
    };
    const first = await stage.application(application);

    const clients: TokenSocket[] = [];
    while (clients.length < CLIENTS) {
      const batch = Array.from({ length: BATCH }, () => stage.client(first, { ...OPTIONS, debug: false }));
      await Promise.all(batch.map((client, index) => client.subscribe(room(clients.length + index))));
      clients.push(...batch);
    }
    const lost = clients.map((client, id) => outcome(client.rpc("never", id)));
    await Promise.all(clients.map((client) => client.rpc("echo", 1)));
    /** When the clients in Node.js have noticed the loss, and when they have made their first attempts. */
    const losses: number[] = [];
    const attempts: number[] = [];
    const queued = clients.map(async (client, id) => {
      await happened(client, "state");
      losses.push(performance.now());
      const end = outcome(client.rpc("buy", id));
      await happened(client, "state");
      attempts.push(performance.now());
      return end;
    });
    const back = clients.map((client) => happened(client, "reconnect"));
    const heard = clients.map((client) => happened(client, "message"));
    await page.goto(`${first.url}/page`);
    await page.evaluate("begin()");

    expect(asked).to.have.length(CLIENTS + 1);
    asked.length = 0;
    await first.stop();
    const second = await stage.application(application, first.port);
    await Promise.all([...back, page.evaluate("back")]);

    // all are back, in their channels
    expect(second.tokenServer.sockets()).to.have.length(CLIENTS + 1);
    for (let index = 0; index < ROOMS; index++) {
      const members = CLIENTS / ROOMS + (index === 0 ? 1 : 0);
      expect(second.tokenServer.channelSockets(room(index)), room(index)).to.have.length(members);
      await second.tokenServer.publish(room(index), `to ${room(index)}`);
    }
    const ids = [...clients.keys()];
    expect(await Promise.all(heard)).to.deep.equal(ids.map((id) => [room(id), `to ${room(id)}`]));
    expect(await page.evaluate("heard")).to.deep.equal(["room 0", "to room 0"]);

    // what was sent is never sent again, and says that its outcome is unknown
    const all = [...ids, "page"];
    for (const end of await Promise.all([...lost, page.evaluate("lost")])) {
      expect(end).to.deep.equal({ code: "disconnected", sent: true });
    }
    expect(begun).to.deep.equal(new Map(all.map((id) => [id, 1])));

    // what had to wait is carried out once
    const ends = await Promise.all([...queued, page.evaluate("queued")]);
    expect(ends).to.deep.equal(all.map((value) => ({ value })));
    expect([...bought.keys()]).to.have.members(all);
    expect(new Set(bought.values())).to.deep.equal(new Set([1]));

    // they have not come back together
    expect(asked).to.have.length(CLIENTS + 1);
    const lostAt = Math.min(...losses);
    console.log("    Token requests after the restart, by the time since the first connection was lost:");
    console.log(histogram(spread(asked.map((time) => time - lostAt))));
    // The attempts are looked at where they begin, since a server that is overrun spreads them, too, by its delays.
    // With independent, even waits the share of a bucket is binomial, with 200 trials of a tenth each. More than 40 %
    // of them have a probability below 10 · exp(-200 · 0.31) < 1e-25 (Chernoff; 0.31 is the divergence of 0.4 from
    // 0.1). Clients that come back together fill one bucket or two. So would a pause of the whole process, but only
    // one of nearly 0.4 of the window.
    const begins = spread(attempts.map((time) => time - lostAt));
    expect(Math.max(...begins), `attempts: ${begins}`).to.be.at.most(0.4 * CLIENTS);
  }).timeout(60_000);

  function room(id: number): string {
    return `room ${id % ROOMS}`;
  }

  /** How many times fall into each bucket; the last ones are of those who have tried while there was no server. */
  function spread(times: readonly number[]): number[] {
    const width = WINDOW / BUCKETS;
    const length = Math.max(BUCKETS, ...times.map((time) => Math.floor(time / width) + 1));
    const counts: number[] = Array.from({ length }, () => 0);
    for (const time of times) {
      const index = Math.floor(time / width);
      counts[index] = (counts[index] ?? 0) + 1;
    }
    return counts;
  }
});
