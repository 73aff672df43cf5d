import { once } from "node:events";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import type { Browser } from "playwright-core";
import { createClient } from "redis";
import { launchBrowser } from "../support/browser.js";
import { ChatPage, Profiles } from "../support/chat-page.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";
import { bundledFile } from "../support/script-bundle.js";
import { ServerProcess } from "../support/server-process.js";

const SCRIPT = fileURLToPath(new URL("../../examples/chat/server.js", import.meta.url));

const PHONE = { width: 360, height: 740 };

const A_MINUTE = 60_000;

/** The address that the browser comes from, which only admins may see. */
const ADDRESS = "127.0.0.1";

describe("The example chat", () => {
  let browser: Browser;
  let environment: Record<string, string>;
  /** Alice's server, and carol's, which may be the same. */
  let servers: [ServerProcess, ServerProcess];
  /** A server that tests may end: so nobody else is sent away again and again, and waits for longer. */
  let another: ServerProcess;
  let bundle: string;
  /** The profiles of alice and carol, and of those who are there for one test. */
  let regulars: Profiles;
  let guests: Profiles;
  let alice: ChatPage;
  let carol: ChatPage;
  let texts = 0;

  before(async () => {
    [browser, bundle] = await Promise.all([launchBrowser(), bundledFile(SCRIPT)]);
    regulars = new Profiles(browser);
    guests = new Profiles(browser);
  });

  after(() => browser?.close());

  afterEach(() => guests.leave());

  describe("on the embedded store, in one process", () => {
    before(async () => {
      environment = {};
      const server = await start(0, SCRIPT);
      servers = [server, server];
      await openPages();
    });

    after(closeAll);

    behavesAsAChat();

    looksAsAChat();

    it("says that the connection is lost, and asks to log in again since the sessions are lost, too", async () => {
      await servers[0].kill();
      await alice.page.getByText("The connection is lost").waitFor();

      const server = await start(servers[0].port);
      servers = [server, server];

      await alice.page.getByText("Your session has ended").waitFor();
      await alice.logIn("alice");
      await carol.page.getByText("Your session has ended").waitFor();
      await carol.logIn("carol");
      const text = newText("after the restart");
      await carol.say(text);
      expect(await alice.hear(text)).to.contain("carol");
    });

    it("says that lines may be lost, below those that are there, since they are lost with the process", async () => {
      const bob = await openOnAnother("bob");
      const about = newText("around a restart");
      await bob.say(`${about}: before`);
      await bob.hear(`${about}: before`);
      await another.kill();
      another = await start(another.port);
      await bob.page.getByText("Your session has ended").waitFor();
      await bob.logIn("bob");

      await bob.page.getByText("Messages may have been lost").waitFor();
      await bob.say(`${about}: after`);
      await bob.hear(`${about}: after`);
      expect(await bob.lines(about)).to.deep.equal([
        `${about}: before`,
        "Messages may have been lost",
        `${about}: after`,
      ]);
    });

    it("marks a message that was not sent, and sends it again when its author is back", async () => {
      const bob = await openOnAnother("bob");
      await another.kill();
      await bob.page.getByText("The connection is lost").waitFor();
      const text = newText("before the restart");
      await bob.say(text);
      await bob.draft(text).getByText("Sending…").waitFor();

      another = await start(another.port);
      await bob.page.getByText("Your session has ended").waitFor();
      await bob.logIn("bob");

      await bob.draft(text).getByText("Not sent: Forbidden").waitFor();
      await bob.draft(text).getByRole("button", { name: "Send again" }).click();
      await bob.hear(text);
      expect(await bob.count(text)).to.equal(1);
    });

    it("does not show to a user what another one has written and not sent", async () => {
      const bob = await openOnAnother("bob");
      await another.kill();
      await bob.page.getByText("The connection is lost").waitFor();
      const text = newText("for nobody else");
      await bob.say(text);
      await bob.input.fill("not even finished");

      another = await start(another.port);
      await bob.page.getByText("Your session has ended").waitFor();
      await bob.logIn("dave");

      expect(await bob.page.locator("#me-name").textContent()).to.equal("dave");
      expect(await bob.count(text)).to.equal(0);
      expect(await bob.input.inputValue()).to.equal("");
    });

    endsByItself();
  });

  describe("on Redis, in two processes", () => {
    let redis: RedisServer;

    before(async () => {
      redis = await startRedis();
      environment = { REDIS_URL: redis.url, SESSION_SECRET: "the same for both" };
      servers = [await start(0, SCRIPT), await start()];
      await openPages();
    });

    after(async () => {
      await closeAll();
      await redis?.stop();
    });

    behavesAsAChat();

    it("says that the connection is lost, and gets it back with its channels", async () => {
      await servers[0].kill();
      await alice.page.getByText("The connection is lost").waitFor();
      await alice.text("#status", "Offline").waitFor();
      const meanwhile = newText("meanwhile");
      await carol.say(meanwhile);
      await carol.hear(meanwhile);

      servers[0] = await start(servers[0].port);

      await alice.page.getByText("Connected again").waitFor();
      expect(await alice.page.getByText("The connection is lost").isVisible()).to.equal(false);
      await alice.hear(meanwhile);
      const afterwards = newText("afterwards");
      await carol.say(afterwards);
      expect(await alice.hear(afterwards)).to.contain("carol");
      expect(await alice.count(meanwhile)).to.equal(1);
    });

    it("loses no line and shows none twice while everybody writes and servers are stopped and killed", async () => {
      const bob = await openOnAnother("bob");
      const about = newText("while servers end");
      const said: string[] = [];
      const write = async (when: string) => {
        for (const [name, chat] of Object.entries({ bob, carol })) {
          for (let number = 1; number <= 3; number++) {
            const text = `${about}: ${name} ${when} ${number}`;
            said.push(text);
            await chat.say(text);
          }
        }
      };

      for (const end of ["stop", "kill"] as const) {
        await write(`before the ${end}`);
        const ending = another[end]();
        await write(`at the ${end}`);
        await ending;
        await write(`after the ${end}`);
        another = await start(another.port);
        // after several ends within seconds it would wait for longer
        await bob.page.evaluate(`dispatchEvent(new Event("online"))`);
        await bob.page.locator("#drafts:empty").waitFor({ state: "attached", timeout: A_MINUTE / 2 });
        await bob.untilConnected();
      }
      const dave = await guests.open(another.url);
      await dave.logIn("dave");
      await carol.say(`${about}: the end`);
      for (const chat of [bob, carol, dave]) await chat.hear(`${about}: the end`);

      const lines = await carol.lines(about);
      expect(lines).to.have.members([...said, `${about}: the end`]);
      expect(await bob.lines(about)).to.deep.equal(lines);
      expect(await dave.lines(about)).to.deep.equal(lines);
    }).timeout(2 * A_MINUTE);

    it("lets those stay online whose server is killed, and who come back", async () => {
      const bob = await openOnAnother("bob");
      await carol.text("#people li", "bob").waitFor();
      await carol.page.evaluate(`(() => {
        const people = document.querySelector("#people");
        globalThis.lists = [];
        new MutationObserver(() => lists.push(people.textContent)).observe(people, { childList: true });
      })()`);
      await another.kill();
      await bob.page.getByText("The connection is lost").waitFor();
      another = await start(another.port);
      await bob.page.getByText("Connected again").waitFor();
      await bob.input.fill("x");
      // what comes behind all that may have come before
      await carol.text("#people li", "bobtyping…").waitFor();

      const lists = (await carol.page.evaluate("lists")) as string[];
      expect(lists.filter((list) => !list.includes("bob"))).to.deep.equal([]);
    });

    it("sends once, when the connection is back, what was written while it was lost", async () => {
      const bob = await openOnAnother("bob");
      await another.kill();
      await bob.page.getByText("The connection is lost").waitFor();
      const text = newText("written offline");
      await bob.say(text);
      await bob.draft(text).getByText("Sending…").waitFor();

      another = await start(another.port);

      await bob.hear(text);
      expect(await carol.hear(text)).to.contain("bob");
      await bob.untilConnected();
      expect(await bob.count(text)).to.equal(1);
      expect(await carol.count(text)).to.equal(1);
    });

    it("tries at once to get the connection back when the user asks for it", async () => {
      // in a profile of its own, whose clock stands still, so that nothing comes back by itself
      const bob = await ChatPage.open(browser, (await startAnother()).url);
      await bob.logIn("bob");
      await bob.page.clock.install();
      await bob.page.clock.pauseAt(Date.now() + A_MINUTE);
      await another.kill();
      await bob.page.getByText("The connection is lost").waitFor();
      another = await start(another.port);

      await bob.page.getByRole("button", { name: "Try now" }).click();

      await bob.page.getByText("Connected again").waitFor();
      await bob.close();
    });

    it("shows the chat of whoever has logged in in another window, after a reconnect", async () => {
      const bob = await openOnAnother();
      const dave = await bob.openAnother(another.url);
      await dave.page.getByRole("button", { name: "Log in" }).waitFor();
      await bob.logIn("bob");
      await dave.logIn("dave");
      // a live connection keeps its identity
      expect(await bob.page.locator("#me-name").textContent()).to.equal("bob");

      await another.kill();
      another = await start(another.port);

      await bob.text("#me-name", "dave").waitFor();
      await bob.untilConnected();
    });

    it("shows what another program publishes in Redis", async () => {
      const text = newText("published in Redis");
      const client = createClient({ url: redis.url });
      await client.connect();
      await client.publish("room:lobby", text);
      await client.close();

      await alice.hear(text);
      await carol.hear(text);
    });

    it("knows a session on each process", async () => {
      const bob = await guests.open(servers[0].url);
      await bob.logIn("bob");

      await bob.page.goto(servers[1].url);

      await bob.untilConnected();
      expect(await bob.page.locator("#me-name").textContent()).to.equal("bob");
    });

    endsByItself();
  });

  describe("on Redis, with two lines kept of each room", () => {
    let redis: RedisServer;

    before(async () => {
      redis = await startRedis();
      environment = { REDIS_URL: redis.url, SESSION_SECRET: "the same for both", HISTORY_SIZE: "2" };
      servers = [await start(), await start()];
      await openPages();
    });

    after(async () => {
      await closeAll();
      await redis?.stop();
    });

    it("shows how many lines were lost, in their place, and goes on behind them", async () => {
      const about = newText("too much");
      const say = async (text: string) => {
        await carol.say(`${about}: ${text}`);
        await carol.hear(`${about}: ${text}`);
      };
      await say("first");
      await alice.hear(`${about}: first`);

      await servers[0].kill();
      await alice.page.getByText("The connection is lost").waitFor();
      for (const text of ["one", "two", "three", "four", "five"]) await say(text);
      servers[0] = await start(servers[0].port);
      await alice.untilConnected();
      await say("last");

      await alice.hear(`${about}: last`);
      expect(await alice.lines(about)).to.deep.equal([
        `${about}: first`,
        "3 messages were lost",
        ...["four", "five", "last"].map((text) => `${about}: ${text}`),
      ]);
    });
  });

  function behavesAsAChat(): void {
    it("loads without an error in the console", async () => {
      await alice.page.reload();
      await alice.untilConnected();

      expect(alice.errors).to.deep.equal([]);
    });

    it("carries messages both ways", async () => {
      const question = newText("a question");
      await alice.say(question);
      expect(await carol.hear(question)).to.contain("alice");

      const answer = newText("an answer");
      await carol.say(answer);
      expect(await alice.hear(answer)).to.contain("carol");
    });

    it("keeps a room for those who may enter", async () => {
      await carol.choose("staff");
      await carol.page.getByText('The room "staff" is not open to you').waitFor();
      expect(await carol.page.locator("#room-name").textContent()).to.equal("lobby");

      const text = newText("among ourselves");
      await alice.choose("staff");
      await alice.say(text);
      await alice.hear(text);
      expect(carol.framesWith(text)).to.deep.equal([]);
      const { status } = await carol.fetch("/api/rooms/staff/messages");
      expect(status).to.equal(403);
      const code = await carol.withClient(
        `(client) => client.history("room:staff").catch((error) => error.code)`,
      );
      expect(code).to.equal("forbidden");
      await alice.choose("lobby");
    });

    it("refuses a message for a room that its sender may not enter", async () => {
      const refusal = await carol.withClient(
        `(client) => client.publish("room:staff", { text: "let me in" }).catch(({ message, code }) => ({ message, code }))`,
      );
      expect(refusal).to.deep.equal({ message: 'The room "staff" is not open to you', code: 403 });
    });

    it("takes a message's author from the session, whatever its sender says", async () => {
      const text = newText("in another's name");
      await carol.withClient(
        `(client) => client.publish("room:lobby", {
          text: ${JSON.stringify(text)},
          author: { name: "alice", role: "admin" },
        })`,
      );
      const shown = await alice.hear(text);
      expect(shown).to.contain("carol");
      expect(shown).not.to.contain("alice");
    });

    it("hides the sender's address from all but admins", async () => {
      const text = newText("from somewhere");
      await carol.say(text);
      expect(await alice.hear(text)).to.contain(ADDRESS);
      expect(await carol.hear(text)).not.to.contain(ADDRESS);
      expect(carol.framesWith(text).filter((frame) => frame.includes(ADDRESS))).to.deep.equal([]);
    });

    it("shows who is online, each user once, and who is typing", async () => {
      for (const chat of [alice, carol]) {
        await chat.text("#people li", "alice").waitFor();
        await chat.text("#people li", "carol").waitFor();
      }
      const bob = await guests.open(servers[1].url);
      await bob.logIn("bob");
      const other = await bob.openAnother(servers[0].url);
      await other.untilConnected();
      await alice.text("#people li", "bob").waitFor();
      expect(await alice.text("#people li", "bob").count()).to.equal(1);

      await bob.input.pressSequentially("well");
      await alice.text("#people li", "bobtyping…").waitFor();
      await bob.page.getByRole("button", { name: "Send", exact: true }).click();
      await alice.text("#people li", "bobtyping…").waitFor({ state: "detached" });

      await bob.logOut();
      await alice.text("#people li", "bob").waitFor({ state: "detached" });
    });

    it("gives the same messages by one Express handler over HTTP and over the socket", async () => {
      const text = newText("to be remembered");
      await carol.say(text);
      await carol.hear(text);

      const { body } = await carol.fetch("/api/rooms/lobby/messages");
      const reply = await carol.withClient(`(client) => client.rpc("rooms.messages", { room: "lobby" })`);

      expect(JSON.stringify(body)).to.contain(text).and.not.to.contain(ADDRESS);
      expect(reply)
        .to.deep.include(body as object)
        .and.to.have.property("_code", 200);
    });

    it("shows a room's last lines, and older ones when the user asks for them", async () => {
      const about = newText("a long talk");
      const all = Array.from({ length: 60 }, (_, index) => `${about}: ${index + 1}`);
      await carol.withClient(`async (client) => {
        for (const text of ${JSON.stringify(all)}) await client.publish("room:random", { text });
      }`);
      const bob = await guests.open(servers[1].url);
      await bob.logIn("bob");
      await bob.choose("random");
      await bob.hear(all[59] ?? "");
      expect(await bob.lines(about)).to.deep.equal(all.slice(10));

      await bob.page.getByRole("button", { name: "Older messages" }).click();

      await bob.page.getByText(all[0] ?? "", { exact: true }).waitFor();
      expect(await bob.lines(about)).to.deep.equal(all);
    });

    it("lets the server call a function of a user's browser, and shows the answer", async () => {
      await alice.page.getByRole("button", { name: "Nudge carol" }).click();
      await carol.page.getByRole("heading", { name: "alice nudges you" }).waitFor();
      await carol.page.getByRole("button", { name: "I am here!" }).click();

      await alice.page.getByText("carol answers: I am here!").waitFor();
    });

    it("lets only admins nudge", async () => {
      expect(await carol.page.getByRole("button", { name: "Nudge" }).count()).to.equal(0);
      const code = await carol.withClient(
        `(client) => client.rpc("admin.nudge", { name: "alice" }).catch((error) => error.code)`,
      );
      expect(code).to.equal("forbidden");
    });

    it("closes a user's other windows when the user logs out", async () => {
      const bob = await guests.open(servers[1].url);
      await bob.logIn("bob");
      const other = await bob.openAnother(servers[1].url);
      await other.untilConnected();
      await bob.logOut();

      await other.page.getByText("Your session has ended").waitFor();
    });
  }

  /** What is the page's doing, whatever store the server has. */
  function looksAsAChat(): void {
    it("asks to log in without an error in the console", async () => {
      const somebody = await guests.open(servers[0].url);
      await somebody.page.getByRole("button", { name: "Log in" }).waitFor();

      expect(somebody.errors).to.deep.equal([]);
    });

    it("works where WebSocket is blocked, and loads SockJS only there", async () => {
      const proxy = await startProxy();
      const { port } = proxy.address() as AddressInfo;
      const bob = await ChatPage.open(browser, servers[0].url, { proxy: { server: `${ADDRESS}:${port}` } });
      await bob.logIn("bob");
      const text = newText("by a detour");
      await bob.say(text);

      expect(await carol.hear(text)).to.contain("bob");
      await bob.hear(text);
      expect(await bob.page.evaluate("typeof SockJS")).to.equal("function");
      expect(await carol.page.evaluate("typeof SockJS")).to.equal("undefined");
      await bob.close();
      proxy.closeAllConnections();
      proxy.close();
      await once(proxy, "close");
    });

    it("shows as text whatever somebody writes", async () => {
      const text = newText(`<img src="x" onerror="document.title='broken'"><b>bold</b>`);
      await carol.say(text);

      expect(await alice.hear(text)).to.contain(text);
      expect(await alice.page.locator("#messages :is(img, .text b)").count()).to.equal(0);
    });

    it("shows why a message was refused", async () => {
      await carol.input.evaluate((input) =>
        (input as unknown as { removeAttribute(name: string): void }).removeAttribute("maxlength"),
      );
      const text = newText("x".repeat(1000));
      await carol.say(text);

      await carol.draft(text).getByText("Not sent: A message has at most 1000 characters").waitFor();
      expect(await alice.count(text)).to.equal(0);
      await carol.page.reload();
      await carol.untilConnected();
    });

    it("fits into a phone's width", async () => {
      const dave = await ChatPage.open(browser, servers[1].url, { viewport: PHONE });
      await dave.page.getByRole("button", { name: "Log in" }).waitFor();
      expect(await dave.width()).to.be.at.most(PHONE.width);

      await dave.logIn("dave");
      const text = newText("x".repeat(400));
      await carol.say(text);
      await dave.hear(text);
      expect(await dave.width()).to.be.at.most(PHONE.width);
      const send = await dave.page.getByRole("button", { name: "Send", exact: true }).boundingBox();
      expect((send?.x ?? 0) + (send?.width ?? 0)).to.be.within(1, PHONE.width);
      expect((send?.y ?? 0) + (send?.height ?? 0)).to.be.within(1, PHONE.height);
      await dave.close();
    });
  }

  function endsByItself(): void {
    it("ends by itself when it is told to, with sockets open", async () => {
      await Promise.all([alice.untilConnected(), carol.untilConnected()]);

      for (const server of new Set(servers)) {
        expect(await server.stop()).to.deep.equal({ code: 0, signal: null });
      }
    });
  }

  /** A proxy that passes on HTTP requests and refuses tunnels, without which there is no WebSocket. */
  async function startProxy(): Promise<Server> {
    const proxy = createServer((req, res) => {
      const { method, headers } = req;
      const passed = request(req.url ?? "", { method, headers }, (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(res);
      });
      passed.on("error", () => res.destroy());
      res.on("close", () => passed.destroy());
      req.pipe(passed);
    });
    proxy.on("connect", (_req, socket) => socket.end("HTTP/1.1 403 Forbidden\r\n\r\n"));
    proxy.listen(0, ADDRESS);
    await once(proxy, "listening");
    return proxy;
  }

  /** Starts a server, from one file unless it is told otherwise: that takes a third of what it takes from many. */
  function start(port = 0, script = bundle): Promise<ServerProcess> {
    return ServerProcess.start(script, { ...environment, HOST: ADDRESS, PORT: String(port) });
  }

  /** Alice's on the first server, carol's on the second. */
  async function openPages(): Promise<void> {
    alice = await regulars.open(servers[0].url);
    carol = await regulars.open(servers[1].url);
    await alice.logIn("alice");
    await carol.logIn("carol");
  }

  /** Starts `another`, unless a test has left it there. */
  async function startAnother(): Promise<ServerProcess> {
    if (!another?.isRunning) another = await start();
    return another;
  }

  /** A guest's page there, where nobody else is. */
  async function openOnAnother(name?: string): Promise<ChatPage> {
    const chat = await guests.open((await startAnother()).url);
    if (name) await chat.logIn(name);
    return chat;
  }

  async function closeAll(): Promise<void> {
    await regulars?.leave();
    await Promise.all([another, ...(servers ?? [])].map((server) => server?.kill()));
  }

  /** A text that no other message has, whatever is in Redis already. */
  function newText(about: string): string {
    texts += 1;
    return `${about} ${process.pid}-${Date.now()}-${texts}`;
  }
});
