import { EventEmitter, once } from "node:events";
import { expect } from "chai";
import type { Browser } from "playwright-core";
import { type Procedure, procedure, RpcError, type TokenSocketServerOptions } from "../../lib/index.js";
import { type Place, Stage } from "../client/support.js";
import { launchBrowser } from "../support/browser.js";
import { bundlePage, bundleServer, REACT_VERSIONS, ReactPage, servePage } from "../support/react-page.js";
import type { Part } from "./page/parts.js";

const JOINED = '{"isJoined":true}';
const NOT_JOINED = '{"isJoined":false}';

for (const version of REACT_VERSIONS) {
  describe(`The hooks with React ${version}`, () => {
    let browser: Browser;
    let script: string;
    let stage: Stage;
    let place: Place;
    let page: ReactPage;
    /** What clients did on channels, in order. */
    let channelEvents: string[];
    /** The calls that came, in order. */
    let calls: string[];
    /** What the server's functions tell, and are told. */
    let world: EventEmitter;
    let forbidden: Set<string>;
    /** What a test knows that the page has complained about. */
    let expected: RegExp[];
    let html: string;
    /** Who logs in. */
    let user: string;

    const controller = {
      echo: (_auth: unknown, data: unknown) => data,
      note: (_auth: unknown, data: unknown) => {
        calls.push(JSON.stringify(data));
        return data;
      },
      fail: () => {
        throw new RpcError("Out of paper", { code: "E_PAPER" });
      },
      // answers when it is told to, with the number of the call
      slow: procedure({
        async handler({ input, signal }) {
          calls.push(JSON.stringify(input));
          signal.addEventListener("abort", () => world.emit("aborted", input));
          world.emit("asked");
          const [answer] = await once(world, `answer ${JSON.stringify(input)}`, { signal });
          return answer as unknown;
        },
      }) as Procedure,
      count: procedure({
        async *handler({ input }) {
          const { to = Infinity, prefix = "" } = input as { to?: number; prefix?: string };
          calls.push(JSON.stringify(input));
          try {
            for (let i = 1; i <= to; i++) {
              world.emit("item", i);
              yield `${prefix}${i}`;
            }
          } finally {
            world.emit("stream ended", input);
          }
        },
      }) as Procedure,
      who: ({ name }: { name?: unknown }) => name,
      // says once who it is, and goes on
      whoEver: procedure({
        async *handler({ auth, signal }) {
          yield (auth as { name?: unknown }).name;
          await once(world, "finish", { signal });
        },
      }) as Procedure,
      names: procedure({
        async *handler({ auth }) {
          for (let i = 1; ; i++) yield `${(auth as { name?: unknown }).name} ${i}`;
        },
      }) as Procedure,
      ticks: procedure({
        async *handler({ input, signal }) {
          calls.push(JSON.stringify(input));
          try {
            yield "first";
            const [end] = await once(world, "finish", { signal });
            if (end) throw new RpcError("Out of paper", { code: "E_PAPER" });
          } finally {
            world.emit("stream ended", input);
          }
        },
      }) as Procedure,
    };

    before(async () => {
      browser = await launchBrowser();
      script = await bundlePage(version);
    });
    after(() => browser.close());

    beforeEach(async () => {
      stage = new Stage();
      channelEvents = [];
      calls = [];
      world = new EventEmitter();
      forbidden = new Set();
      expected = [];
      html = "";
      user = "alice";
      await start();
    });

    const start = async (options: TokenSocketServerOptions = {}) => {
      place = await stage.application({
        prepare: (app) => {
          servePage(app, script, () => html);
        },
        options: { socketController: controller, authentication: () => ({ name: user }), ...options },
      });
      const { tokenServer } = place;
      tokenServer.on("subscribe", (_socket, { channel }) => !forbidden.has(channel));
      tokenServer.on("subscribed", (_socket, { channel }) => channelEvents.push(`+${channel}`));
      tokenServer.on("unsubscribed", (_socket, { channel }) => channelEvents.push(`-${channel}`));
    };

    const open = async () => {
      page = await ReactPage.open(browser, place.url);
      await page.connect();
    };

    afterEach(async () => {
      const left = await page.leftBehind();
      await page.close();
      await stage.clear();
      const unexpected = page.problems.filter((text) => !expected.some((known) => known.test(text)));
      expect(unexpected).to.deep.equal([]);
      expect(left).to.deep.equal({ listeners: 0, channels: [] });
    });

    const publish = (channel: string, message: unknown) => place.tokenServer.publish(channel, message);

    const joined = (channel: string) => place.tokenServer.channelSockets(channel).length;

    it("run with that version", async () => {
      await open();
      expect(await page.run((lab) => lab.version)).to.match(new RegExp(`^${version}\\.`));
    });

    describe("useConnectionState", () => {
      it("shows each state of the connection, with its reason", async () => {
        page = await ReactPage.open(browser, place.url);
        // shown before it can be open
        await page.run((lab) => {
          lab.connect();
          return lab.render([{ id: "s", type: "state" }]);
        });
        await page.shows("s", '{"state":"open"}');
        place.cut();
        await page.page.waitForFunction("lab.notes.states.length >= 4 && lab.notes.states.at(-1) === 'open'");
        const states = await page.run((lab) => lab.notes.states);
        expect(states.slice(0, 3)).to.deep.equal(["connecting", "open", "waiting"]);
        await page.run((lab) => lab.socket.end());
        await page.shows("s", '"closed"', "There is no connection");
        await page.run((lab) => lab.connect());
        await page.render({ id: "s", type: "state" });
        await page.shows("s", '{"state":"open"}');
      });
    });

    describe("useChannel", () => {
      const room = (id: string, more: object = {}): Part => ({ id, type: "channel", name: "room", ...more });

      it("joins a channel once in StrictMode, and hands over each message once", async () => {
        await open();
        await page.render(room("a"));
        await page.shows("a", JOINED);
        await publish("room", { n: 1 });
        await publish("room", { n: 2 });
        expect(await page.heard(2)).to.deep.equal(['a:{"n":1}', 'a:{"n":2}']);
        await page.settle();
        expect(channelEvents).to.deep.equal(["+room"]);
        expect(joined("room")).to.equal(1);
      });

      it("shares one subscription, which ends with the last component", async () => {
        await open();
        await page.render(room("a"), room("b"));
        await page.shows("b", JOINED);
        await publish("room", 1);
        expect(await page.heard(2)).to.deep.equal(["a:1", "b:1"]);
        await page.render(room("b"));
        await publish("room", 2);
        expect(await page.heard(1)).to.deep.equal(["b:2"]);
        await page.render(room("b"), room("c"));
        await page.shows("c", JOINED);
        expect(channelEvents).to.deep.equal(["+room"]);
        await page.render();
        await page.settle();
        expect(channelEvents).to.deep.equal(["+room", "-room"]);
        expect(joined("room")).to.equal(0);
      });

      it("leaves the old channel and joins the new one when the name changes", async () => {
        await open();
        await page.render(room("a"));
        await page.shows("a", JOINED);
        const left = once(place.tokenServer, "unsubscribed");
        await page.render(room("a", { name: "hall" }));
        await left;
        await page.shows("a", JOINED);
        await publish("room", "old");
        await publish("hall", "new");
        expect(await page.heard(1)).to.deep.equal(['a:"new"']);
        expect(channelEvents.toSorted()).to.deep.equal(["+hall", "+room", "-room"]);
      });

      it("stays in the channel where the name changes and changes back at once", async () => {
        await open();
        await page.render(room("a"));
        await page.shows("a", JOINED);
        await page.run((lab) => {
          lab.render([{ id: "a", type: "channel", name: null }]);
          lab.render([{ id: "b", type: "channel", name: "room" }]);
          lab.render([]);
          lab.render([{ id: "a", type: "channel", name: "room" }]);
        });
        await page.settle();
        await publish("room", 1);
        expect(await page.heard(1)).to.deep.equal(["a:1"]);
        expect(channelEvents).to.deep.equal(["+room"]);
      });

      it("comes back into a channel while the server is still being told that it was left", async () => {
        await open();
        await page.render(room("a"));
        await page.shows("a", JOINED);
        await page.run(async (lab) => {
          lab.render([{ id: "a", type: "channel", name: null }]);
          // so that the channel is left in between
          await new Promise((resolve) => setTimeout(resolve, 0));
          await new Promise((resolve) => setTimeout(resolve, 0));
          lab.render([{ id: "a", type: "channel", name: "room" }]);
        });
        // one round for the server to say that the channel was left, another for joining it again
        await page.settle();
        await page.settle();
        await page.shows("a", JOINED);
        await publish("room", 1);
        expect(await page.heard(1)).to.deep.equal(["a:1"]);
        expect(joined("room")).to.equal(1);
        expect(channelEvents).to.deep.equal(["+room", "-room", "+room"]);
      });

      it("hears again what was left elsewhere and joined again", async () => {
        await open();
        await page.render(room("a"));
        await page.shows("a", JOINED);
        await page.run((lab) => lab.socket.unsubscribe("room"));
        await page.shows("a", NOT_JOINED);
        await page.run((lab) => lab.socket.subscribe("room"));
        await page.shows("a", JOINED);
        await publish("room", 1);
        expect(await page.heard(1)).to.deep.equal(["a:1"]);
        // in one go, too
        await page.run((lab) => Promise.all([lab.socket.unsubscribe("room"), lab.socket.subscribe("room")]));
        await page.shows("a", JOINED);
        await publish("room", 2);
        expect(await page.heard(1)).to.deep.equal(["a:2"]);
        await page.render();
        await page.run((lab) => lab.socket.unsubscribe("room"));
      });

      it("does nothing without a name", async () => {
        await open();
        await page.render(room("a", { name: null }), room("b", { name: "" }));
        await page.settle();
        await page.shows("a", NOT_JOINED);
        await page.shows("b", NOT_JOINED);
        expect(channelEvents).to.deep.equal([]);
      });

      it("hands messages to the newest handler, which is no reason to join again", async () => {
        await open();
        await page.render(room("a", { as: "first" }));
        await page.shows("a", JOINED);
        await page.render(room("a", { as: "second" }));
        await page.settle();
        await publish("room", 1);
        expect(await page.heard(1)).to.deep.equal(["second:1"]);
        expect(channelEvents).to.deep.equal(["+room"]);
      });

      it("reports what a handler throws, which disturbs no other component", async () => {
        expected = [/the handler a has failed/];
        await open();
        await page.render(room("a", { fails: true }), room("b"));
        await page.shows("b", JOINED);
        await publish("room", 1);
        await publish("room", 2);
        expect(await page.heard(2)).to.deep.equal(["b:1", "b:2"]);
        await page.settle();
        expect(page.problems).to.have.length(2);
      });

      it("shows why a channel was refused, and joins it when the connection is back and it may", async () => {
        forbidden.add("room");
        await open();
        await page.render(room("a"), room("b"));
        await page.shows("a", '"isJoined":false', "Forbidden");
        await page.shows("b", '"isJoined":false', "Forbidden");
        forbidden.clear();
        place.cut();
        await page.shows("a", JOINED);
        await page.shows("b", JOINED);
        expect(joined("room")).to.equal(1);
      });

      it("is in the channel again after a reconnect, or shows why not", async () => {
        await open();
        await page.render(room("a"), { id: "s", type: "state" });
        await page.shows("a", JOINED);
        const back = once(place.tokenServer, "subscribed");
        place.cut();
        await back;
        await page.shows("s", '{"state":"open"}');
        await page.shows("a", JOINED);
        await publish("room", 1);
        expect(await page.heard(1)).to.deep.equal(["a:1"]);
        forbidden.add("room");
        place.cut();
        await page.shows("a", '"isJoined":false', "Forbidden");
      });

      it("joins again when the connection was closed for good and somebody has logged in", async () => {
        await open();
        await page.render(room("a"), { id: "s", type: "state" });
        await page.shows("a", JOINED);
        for (const socket of place.tokenServer.sockets()) socket.close(4403, "Logged out");
        await page.shows("s", '"closed"');
        await page.shows("a", '"isJoined":false', "Logged out");
        await page.run((lab) => lab.socket.reauthenticate());
        await page.shows("a", JOINED);
        await publish("room", 1);
        expect(await page.heard(1)).to.deep.equal(["a:1"]);
      });

      it("moves to the provider's new client", async () => {
        await open();
        await page.render(room("a"));
        await page.shows("a", JOINED);
        const [first] = place.tokenServer.channelSockets("room");
        await page.connect();
        await page.render(room("a"));
        await page.page.waitForFunction("lab.socket.channels().includes('room')");
        await page.settle();
        await publish("room", 1);
        expect(await page.heard(1)).to.deep.equal(["a:1"]);
        await page.run((lab) => lab.unmount());
        const seconds = place.tokenServer.channelSockets("room");
        expect(seconds).to.not.include(first);
      });

      it("serves hundreds of components by one subscription", async () => {
        await open();
        const many = Array.from({ length: 400 }, (_, i) => room(`c${i}`));
        await page.render(...many);
        await page.shows("c399", JOINED);
        await publish("room", 1);
        expect(await page.heard(400)).to.have.length(400);
        expect(channelEvents).to.deep.equal(["+room"]);
        // four of them, and two of the provider
        expect(await page.run((lab) => lab.listeners())).to.equal(6);
      });
    });

    describe("useCall", () => {
      const caller = (path: string, more: object = {}): Part => ({ id: "c", type: "call", path, ...more });

      it("calls when it is told to, and shows the result, or the error", async () => {
        await open();
        await page.render(caller("note"));
        await page.shows("c", '{"isPending":false}');
        const value = await page.run((lab) => lab.notes.calls.get("c")?.call({ n: 1 }));
        expect(value).to.deep.equal({ n: 1 });
        await page.shows("c", '{"data":{"n":1},"isPending":false}');
        await page.render(caller("fail"));
        await page.shows("c", '{"isPending":false}');
        const message = await page.run((lab) =>
          lab.notes.calls
            .get("c")
            ?.call()
            .catch((error: Error) => error.message),
        );
        expect(message).to.equal("Out of paper");
        await page.shows("c", '"message":"Out of paper"', '"isPending":false');
        await page.run((lab) => lab.notes.calls.get("c")?.reset());
        await page.shows("c", '{"isPending":false}');
        expect(calls).to.deep.equal(['{"n":1}']);
      });

      it("shows the newest call's result, also where an older one is answered later", async () => {
        await open();
        await page.render(caller("slow"));
        for (const n of [1, 2]) {
          const asked = once(world, "asked");
          await page.run((lab, given) => void lab.notes.calls.get("c")?.call(given), n);
          await asked;
        }
        await page.shows("c", '{"isPending":true}');
        world.emit("answer 2", "new");
        await page.shows("c", '{"data":"new","isPending":false}');
        world.emit("answer 1", "old");
        await page.settle();
        await page.shows("c", '{"data":"new","isPending":false}');
      });

      it("gives up what is under way when the component is unmounted", async () => {
        await open();
        await page.render(caller("slow"));
        const asked = once(world, "asked");
        await page.run((lab) => void lab.notes.calls.get("c")?.call(1));
        await asked;
        const aborted = once(world, "aborted");
        await page.render();
        await aborted;
        await page.settle();
      });

      it("gives up what is under way when another function is to be called", async () => {
        await open();
        await page.render(caller("slow"));
        const asked = once(world, "asked");
        await page.run((lab) => void lab.notes.calls.get("c")?.call(1));
        await asked;
        const aborted = once(world, "aborted");
        await page.render(caller("note"));
        await aborted;
        await page.shows("c", '{"isPending":false}');
      });

      it("takes a signal, and leaves rejections that nobody looks at alone", async () => {
        await open();
        await page.render(caller("slow"));
        const aborted = once(world, "aborted");
        const asked = once(world, "asked");
        await page.run((lab) => {
          const life = new AbortController();
          void lab.notes.calls.get("c")?.call(1, { signal: life.signal });
          Object.assign(globalThis, { life });
        });
        await asked;
        await page.page.evaluate("life.abort()");
        await aborted;
        await page.shows("c", "The call was aborted", '"isPending":false');
      });

      it("works in an effect of a component in StrictMode", async () => {
        await open();
        await page.render(caller("note", { atOnce: 5 }));
        await page.shows("c", '{"data":5,"isPending":false}');
      });

      it("forgets calls that are under way when it is reset", async () => {
        await open();
        await page.render(caller("slow"));
        const asked = once(world, "asked");
        await page.run((lab) => void lab.notes.calls.get("c")?.call(1));
        await asked;
        await page.run((lab) => lab.notes.calls.get("c")?.reset());
        world.emit("answer 1", "late");
        await page.settle();
        await page.shows("c", '{"isPending":false}');
      });
    });

    describe("useResult", () => {
      const loaded = (input: unknown, more: object = {}): Part => ({
        id: "r",
        type: "result",
        path: "note",
        input,
        ...more,
      });

      it("calls once in StrictMode, and again only for another input", async () => {
        await open();
        await page.render(loaded({ n: 1 }));
        await page.shows("r", '{"data":{"n":1},"isPending":false}');
        await page.render(loaded({ n: 1 }));
        await page.settle();
        await page.render(loaded({ n: 2 }));
        await page.shows("r", '{"data":{"n":2},"isPending":false}');
        expect(calls).to.deep.equal(['{"n":1}', '{"n":2}']);
      });

      it("gives up a call whose input is not wanted any more", async () => {
        await open();
        const asked = once(world, "asked");
        await page.render(loaded(1, { path: "slow" }));
        await asked;
        await page.shows("r", '{"isPending":true}');
        const aborted = once(world, "aborted");
        const again = once(world, "asked");
        await page.render(loaded(2, { path: "slow" }));
        expect(await aborted).to.deep.equal([1]);
        await again;
        world.emit("answer 2", "two");
        await page.shows("r", '{"data":"two","isPending":false}');
        const unmounted = once(world, "asked").then(() => once(world, "aborted"));
        await page.render(loaded(3, { path: "slow" }));
        await page.page.waitForFunction("document.getElementById('r').textContent.includes('true')");
        await page.settle();
        await page.render();
        expect(await unmounted).to.deep.equal([3]);
      });

      it("calls again after a reconnect, unless it is not to", async () => {
        await open();
        await page.render(loaded(1), { ...loaded(2, { options: { refetchOnReconnect: false } }), id: "q" });
        await page.shows("r", '{"data":1,"isPending":false}');
        await page.shows("q", '{"data":2,"isPending":false}');
        const back = once(place.tokenServer, "authenticated");
        place.cut();
        await back;
        await page.page.waitForFunction("lab.socket.state === 'open'");
        await page.settle();
        await page.shows("r", '{"data":1,"isPending":false}');
        expect(calls).to.deep.equal(["1", "2", "1"]);
      });

      it("calls nothing while it is not enabled, and shows an error", async () => {
        await open();
        await page.render(loaded(1, { options: { enabled: false } }));
        await page.settle();
        await page.shows("r", '{"isPending":false}');
        expect(calls).to.deep.equal([]);
        await page.render(loaded(1));
        await page.shows("r", '{"data":1,"isPending":false}');
        await page.render(loaded(1, { path: "fail" }));
        await page.shows("r", "Out of paper", '"isPending":false');
      });
    });

    describe("for another user", () => {
      const identify = (auth: Record<string, unknown>) => auth.name as string;
      const showIdentity = (auth: Record<string, unknown>) => ({ id: auth.name });
      const WHO: Part = { id: "w", type: "who" };
      const shown = (name: string) =>
        `{"identity":{"id":"${name}"},"data":"${name}","called":"${name}","last":"${name}","isPending":false}`;

      /** Shows all of one user that there is to show. */
      const showAlice = async () => {
        await open();
        await page.render(WHO);
        await page.run((lab) => lab.notes.calls.get("w")?.call());
        await page.shows("w", '"data":"alice"', '"called":"alice"', '"last":"alice"');
      };

      const commits = () => page.run((lab) => lab.notes.commits.splice(0));

      it("show nothing of the one before, not for one commit, on the live connection", async () => {
        await start({ showIdentity });
        await showAlice();
        await page.shows("w", shown("alice"));
        await commits();
        user = "bob";
        await page.run((lab) => lab.socket.reauthenticate());
        await page.shows("w", '"data":"bob"', '"last":"bob"');
        await page.run((lab) => lab.notes.calls.get("w")?.call());
        await page.shows("w", shown("bob"));
        const [first, ...others] = await commits();
        expect(first).to.equal('{"identity":{"id":"bob"},"isPending":true}');
        for (const commit of others) expect(commit).to.include('{"id":"bob"}').and.not.include("alice");
      });

      it("show nothing of the one before after a reconnect, also where the server shows nothing", async () => {
        await start({ identify });
        await showAlice();
        // the same one is no other
        place.cut();
        await page.shows("w", '"data":"alice"', '"called":"alice"');
        await page.page.waitForFunction("lab.socket.state === 'open'");
        await page.settle();
        await page.shows("w", '"data":"alice"', '"called":"alice"', '"isPending":false');
        await commits();
        user = "bob";
        await page.run((lab) => lab.socket.reauthenticate());
        await page.shows("w", '"data":"bob"', '"last":"bob"');
        const seen = await commits();
        const since = seen.indexOf('{"isPending":true}');
        expect(since).to.be.at.least(0);
        for (const commit of seen.slice(since)) expect(commit).to.not.include("alice");
      });

      it("show nothing of the one before after a login of which the server says nothing", async () => {
        await showAlice();
        user = "bob";
        await page.run((lab) => lab.socket.reauthenticate());
        await page.shows("w", '"data":"bob"', '"last":"bob"');
        await page.settle();
        expect(await page.shown("w")).to.deep.equal({ data: "bob", last: "bob", isPending: false });
      });

      it("show nothing any more once the server refuses the client", async () => {
        expected = [/status of 403/];
        await start({ authentication: () => user !== "" && { name: user } });
        await showAlice();
        user = "";
        await page.run((lab) => lab.socket.reauthenticate().catch(() => {}));
        await page.shows("w", '{"isPending":false}');
        user = "bob";
        await page.run((lab) => lab.socket.reauthenticate());
        await page.shows("w", '"data":"bob"', '"last":"bob"');
      });

      it("keep what they show when the client learns who it is, and when that stays so", async () => {
        await start({ identify, showIdentity });
        page = await ReactPage.open(browser, place.url);
        await page.run((lab) => lab.connect());
        await page.render({ id: "c", type: "call", path: "note", atOnce: 1 }, WHO);
        await page.shows("c", '{"data":1,"isPending":false}');
        // StrictMode may call twice
        const before = [...calls];
        await page.run((lab) => lab.socket.reauthenticate());
        await page.settle();
        await page.shows("c", '{"data":1,"isPending":false}');
        expect(calls).to.deep.equal(before);
      });

      it("send nothing that waits for a connection as that one", async () => {
        await start({ identify });
        await showAlice();
        await page.render({ id: "c", type: "call", path: "note" });
        user = "bob";
        // in place before the connection is lost
        await page.run((lab) => {
          const { socket, notes } = lab;
          const outcome = new Promise<string>((resolve) => {
            socket.once("state", () => {
              const call = notes.calls.get("c")?.call("alice's");
              call?.then(
                () => resolve("sent"),
                (error: Error) => resolve(error.name),
              );
            });
          });
          Object.assign(globalThis, { outcome });
        });
        place.cut();
        expect(await page.page.evaluate("outcome")).to.equal("AbortedError");
        await page.settle();
        await page.shows("c", '{"isPending":false}');
        expect(calls).to.deep.equal([]);
      });

      it("hand over no item that has come for the one before", async () => {
        await start({ showIdentity });
        await open();
        await page.render({ id: "s", type: "stream", path: "names", handler: "slow" });
        expect(await page.heard(1)).to.deep.equal(['s:"alice 1"']);
        // so that more have come, which wait for the handler
        await page.settle();
        user = "bob";
        await page.run((lab) => {
          lab.socket.once("identity", () => lab.notes.waiting.shift()?.());
          return lab.socket.reauthenticate();
        });
        expect(await page.heard(1)).to.deep.equal(['s:"bob 1"']);
      });

      it("join their channels anew, also those that the one before was refused", async () => {
        await start({ showIdentity });
        place.tokenServer.on("subscribe", ({ auth }, { channel }) => channel.startsWith(String(auth.name)));
        await open();
        const both: Part[] = ["alice", "bob"].map((name) => ({ id: name, type: "channel", name }));
        await page.render(...both);
        await page.shows("alice", JOINED);
        await page.shows("bob", "Forbidden");
        user = "bob";
        await page.run((lab) => lab.socket.reauthenticate());
        await page.shows("bob", JOINED);
        await page.shows("alice", "Forbidden");
        await publish("bob", 1);
        expect(await page.heard(1)).to.deep.equal(["bob:1"]);
      });
    });

    if (version !== "18") {
      describe("in a hidden Activity", () => {
        const hideable = (isHidden: boolean, ...parts: Part[]): Part => ({
          id: "a",
          type: "activity",
          isHidden,
          parts,
        });
        const note: Part = { id: "r", type: "result", path: "note", input: 1 };

        it("call nothing, and again when they are shown again, with the old data meanwhile", async () => {
          await open();
          const slow: Part = { ...note, path: "slow" };
          await page.render(hideable(true, slow));
          await page.settle();
          expect(calls).to.deep.equal([]);
          const asked = once(world, "asked");
          await page.render(hideable(false, slow));
          await asked;
          world.emit("answer 1", "old");
          await page.shows("r", '{"data":"old","isPending":false}');
          await page.render(hideable(true, slow));
          await page.settle();
          const back = once(place.tokenServer, "authenticated");
          place.cut();
          await back;
          await page.page.waitForFunction("lab.socket.state === 'open'");
          await page.settle();
          expect(calls).to.deep.equal(["1"]);
          const again = once(world, "asked");
          await page.render(hideable(false, slow));
          await again;
          await page.shows("r", '{"data":"old","isPending":true}');
          world.emit("answer 1", "new");
          await page.shows("r", '{"data":"new","isPending":false}');
          expect(calls).to.deep.equal(["1", "1"]);
        });

        it("stay pending where they are hidden before the answer, and call again", async () => {
          await open();
          const slow: Part = { ...note, path: "slow" };
          const asked = once(world, "asked");
          await page.render(hideable(false, slow));
          await asked;
          const aborted = once(world, "aborted");
          await page.render(hideable(true, slow));
          await aborted;
          await page.settle();
          const again = once(world, "asked");
          await page.render(hideable(false, slow));
          expect(await page.shown("r")).to.deep.equal({ isPending: true });
          await again;
          world.emit("answer 1", "late");
          await page.shows("r", '{"data":"late","isPending":false}');
        });

        it("show nothing of a user who has left meanwhile, not for one commit", async () => {
          for (const isPlain of [false, true]) {
            user = "alice";
            await start({ showIdentity: ({ name }) => ({ id: name }) });
            await open();
            const who: Part = { id: "w", type: "who", isPlain };
            await page.render(hideable(false, who));
            await page.shows("w", '"data":"alice"', '"last":"alice"');
            await page.render(hideable(true, who));
            await page.settle();
            user = "bob";
            // in one go, so that React has no time for what is hidden
            await page.run(
              async (lab, given) => {
                const parts = given as Part[];
                lab.notes.commits.length = 0;
                const changed = new Promise((resolve) => lab.socket.once("identity", resolve));
                void lab.socket.reauthenticate();
                await changed;
                lab.render(parts);
              },
              [hideable(false, who)],
            );
            await page.shows("w", '"data":"bob"', '"last":"bob"');
            const commits = await page.run((lab) => lab.notes.commits);
            expect(commits).to.not.be.empty;
            for (const commit of commits) expect(commit).to.not.include("alice");
            if (!isPlain) await page.close();
          }
        });
      });
    }

    describe("with what is no JSON", () => {
      it("show an error instead of throwing, and call nothing", async () => {
        await open();
        await page.run((lab) => {
          const cyclic: unknown[] = [];
          cyclic.push(cyclic);
          const hostile = {
            toJSON() {
              throw new Error("not me");
            },
          };
          const inputs = [10n, cyclic, () => {}, hostile];
          const results = inputs.map((input, i) => ({ id: `r${i}`, type: "result", path: "note", input }));
          const streams = inputs.map((input, i) => ({ id: `s${i}`, type: "stream", path: "ticks", input }));
          lab.render([...results, ...streams] as Part[]);
        });
        const reasons = ["serialize a BigInt", "circular", "function", "not me"];
        for (const [i, reason] of reasons.entries()) {
          await page.shows(`r${i}`, "TypeError", "This is no JSON value", reason, '"isPending":false');
          await page.shows(`s${i}`, "TypeError", "This is no JSON value", reason, '"isRunning":false');
        }
        await page.render({ id: "r0", type: "result", path: "note", input: 1 });
        await page.shows("r0", '{"data":1,"isPending":false}');
        expect(calls).to.deep.equal(["1"]);
      });
    });

    describe("useStream", () => {
      const stream = (path: string, more: object = {}): Part => ({ id: "s", type: "stream", path, ...more });

      it("shows the last item, and that the stream is done", async () => {
        await open();
        await page.render(stream("count", { input: { to: 3 } }));
        await page.shows("s", '{"last":"3","isRunning":false,"isDone":true}');
        expect(calls).to.deep.equal(['{"to":3}']);
      });

      it("hands each item over once in StrictMode, and ends with the component", async () => {
        await open();
        await page.render(stream("ticks", { input: 1, handler: "log" }));
        expect(await page.heard(1)).to.deep.equal(['s:"first"']);
        await page.shows("s", '{"isRunning":true,"isDone":false}');
        const ended = once(world, "stream ended");
        await page.render();
        await ended;
        await page.settle();
        expect(calls).to.deep.equal(["1"]);
      });

      it("begins anew for another input", async () => {
        await open();
        await page.render(stream("ticks", { input: 1 }));
        await page.shows("s", '"first"');
        const ended = once(world, "stream ended");
        await page.render(stream("ticks", { input: 2 }));
        expect(await ended).to.deep.equal([1]);
        await page.shows("s", '"first"');
        expect(calls).to.deep.equal(["1", "2"]);
      });

      it("lets a slow handler slow the server", async () => {
        let produced = 0;
        world.on("item", (i: number) => {
          produced = i;
        });
        await open();
        await page.render(stream("count", { input: {}, handler: "slow", options: { window: 4 } }));
        expect(await page.heard(1)).to.deep.equal(['s:"1"']);
        await page.settle();
        expect(await page.run((lab) => lab.notes.log)).to.deep.equal([]);
        expect(produced).to.be.within(1, 6);
        await page.run((lab) => lab.notes.waiting.shift()?.());
        expect(await page.heard(1)).to.deep.equal(['s:"2"']);
        const ended = once(world, "stream ended");
        await page.render();
        await ended;
      });

      it("reports what a handler throws, and goes on", async () => {
        expected = [/the handler s has failed/];
        await open();
        await page.render(stream("count", { input: { to: 2 }, handler: "fail" }));
        expect(await page.heard(2)).to.deep.equal(['s:"1"', 's:"2"']);
        await page.shows("s", '{"isRunning":false,"isDone":true}');
        expect(page.problems).to.have.length(2);
      });

      it("begins anew after a reconnect, unless it is not to", async () => {
        await open();
        await page.render(stream("ticks", { input: 1 }), {
          ...stream("ticks", { input: 2, options: { restart: false } }),
          id: "t",
        });
        await page.shows("s", '"first"');
        await page.shows("t", '"first"');
        const back = once(place.tokenServer, "authenticated");
        place.cut();
        await back;
        await page.shows("t", "The connection was lost");
        await page.shows("s", '{"last":"first","isRunning":true,"isDone":false}');
        await page.settle();
        expect(calls.toSorted()).to.deep.equal(["1", "1", "2"]);
      });

      it("shows why a stream has failed, also where there is none", async () => {
        await open();
        await page.render(stream("ticks"), { ...stream("echo"), id: "t" }, { ...stream("nothing"), id: "n" });
        await page.shows("s", '"first"');
        world.emit("finish", true);
        await page.shows("s", "Out of paper", '"isRunning":false', '"last":"first"');
        await page.shows("t", "TypeError");
        await page.shows("n", "Function not found");
      });

      it("reads nothing while it is not enabled", async () => {
        await open();
        await page.render(stream("ticks", { options: { enabled: false } }));
        await page.settle();
        await page.shows("s", '{"isRunning":false,"isDone":false}');
        expect(calls).to.deep.equal([]);
      });
    });

    describe("on a server that renders", () => {
      const parts: Part[] = [
        { id: "state", type: "state" },
        { id: "channel", type: "channel", name: "room" },
        { id: "call", type: "call", path: "note" },
        { id: "result", type: "result", path: "note", input: 1 },
        { id: "stream", type: "stream", path: "ticks", input: 1 },
      ];

      it("show how they begin, without a connection, and the page goes on from there", async () => {
        const render = await bundleServer(version);
        const said: unknown[] = [];
        const { error, warn } = console;
        console.error = console.warn = (...args: unknown[]) => said.push(args);
        try {
          html = render(parts);
        } finally {
          Object.assign(console, { error, warn });
        }
        expect(said).to.deep.equal([]);
        expect(html).to.include("connecting").and.to.include("isPending");
        await open();
        await page.run((lab, given) => lab.hydrate(given as Part[]), parts);
        await page.shows("state", '{"state":"open"}');
        await page.shows("channel", JOINED);
        await page.shows("result", '{"data":1,"isPending":false}');
        await page.shows("stream", '"first"');
        await page.settle();
        expect(calls.toSorted()).to.deep.equal(["1", "1"]);
        expect(channelEvents).to.deep.equal(["+room"]);
      });

      it("wait for the client where the page has none yet", async () => {
        page = await ReactPage.open(browser, place.url);
        await page.render(...parts);
        await page.shows("state", '{"state":"connecting"}');
        await page.shows("channel", NOT_JOINED);
        await page.run((lab) => lab.connect());
        await page.render(...parts);
        await page.shows("state", '{"state":"open"}');
        await page.shows("channel", JOINED);
        await page.shows("result", '{"data":1,"isPending":false}');
        await page.shows("stream", '"first"');
      });
    });
  });
}
