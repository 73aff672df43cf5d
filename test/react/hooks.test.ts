import { once } from "node:events";
import { expect } from "chai";
import { bundleServer } from "../support/react-page.js";
import { HooksScene } from "./hooks-scene.js";
import type { Part } from "./page/parts.js";
import { withEachReact } from "./page-scene.js";

const JOINED = '{"isJoined":true}';
const NOT_JOINED = '{"isJoined":false}';

withEachReact("The hooks", HooksScene, (scene) => {
  it("run with that version", async () => {
    await scene.page.connect();
    expect(await scene.page.run((lab) => lab.version)).to.match(new RegExp(`^${scene.version}\\.`));
  });

  describe("useConnectionState", () => {
    it("shows each state of the connection, with its reason", async () => {
      // shown before it can be open
      await scene.page.run((lab) => {
        lab.connect();
        return lab.render([{ id: "s", type: "state" }]);
      });
      await scene.page.shows("s", '{"state":"open"}');
      scene.place.cut();
      await scene.page.page.waitForFunction(
        "lab.notes.states.length >= 4 && lab.notes.states.at(-1) === 'open'",
      );
      const states = await scene.page.run((lab) => lab.notes.states);
      expect(states.slice(0, 3)).to.deep.equal(["connecting", "open", "waiting"]);
      await scene.page.run((lab) => lab.socket.end());
      await scene.page.shows("s", '"closed"', "No connection");
      await scene.page.run((lab) => lab.connect());
      await scene.page.render({ id: "s", type: "state" });
      await scene.page.shows("s", '{"state":"open"}');
    });
  });

  describe("useChannel", () => {
    const room = (id: string, more: object = {}): Part => ({ id, type: "channel", name: "room", ...more });

    it("joins a channel once in StrictMode, and hands over each message once", async () => {
      await scene.page.connect();
      await scene.page.render(room("a"));
      await scene.page.shows("a", JOINED);
      await scene.publish("room", { n: 1 });
      await scene.publish("room", { n: 2 });
      expect(await scene.page.heard(2)).to.deep.equal(['a:{"n":1}', 'a:{"n":2}']);
      await scene.page.settle();
      expect(scene.channelEvents).to.deep.equal(["+room"]);
      expect(scene.joined("room")).to.equal(1);
    });

    it("shares one subscription, which ends with the last component", async () => {
      await scene.page.connect();
      await scene.page.render(room("a"), room("b"));
      await scene.page.shows("b", JOINED);
      await scene.publish("room", 1);
      expect(await scene.page.heard(2)).to.deep.equal(["a:1", "b:1"]);
      await scene.page.render(room("b"));
      await scene.publish("room", 2);
      expect(await scene.page.heard(1)).to.deep.equal(["b:2"]);
      await scene.page.render(room("b"), room("c"));
      await scene.page.shows("c", JOINED);
      expect(scene.channelEvents).to.deep.equal(["+room"]);
      await scene.page.render();
      await scene.page.settle();
      expect(scene.channelEvents).to.deep.equal(["+room", "-room"]);
      expect(scene.joined("room")).to.equal(0);
    });

    it("leaves the old channel and joins the new one when the name changes", async () => {
      await scene.page.connect();
      await scene.page.render(room("a"));
      await scene.page.shows("a", JOINED);
      const left = once(scene.place.tokenServer, "unsubscribed");
      await scene.page.render(room("a", { name: "hall" }));
      await left;
      await scene.page.shows("a", JOINED);
      await scene.publish("room", "old");
      await scene.publish("hall", "new");
      expect(await scene.page.heard(1)).to.deep.equal(['a:"new"']);
      expect(scene.channelEvents.toSorted()).to.deep.equal(["+hall", "+room", "-room"]);
    });

    it("stays in the channel where the name changes and changes back at once", async () => {
      await scene.page.connect();
      await scene.page.render(room("a"));
      await scene.page.shows("a", JOINED);
      await scene.page.run((lab) => {
        lab.render([{ id: "a", type: "channel", name: null }]);
        lab.render([{ id: "b", type: "channel", name: "room" }]);
        lab.render([]);
        lab.render([{ id: "a", type: "channel", name: "room" }]);
      });
      await scene.page.settle();
      await scene.publish("room", 1);
      expect(await scene.page.heard(1)).to.deep.equal(["a:1"]);
      expect(scene.channelEvents).to.deep.equal(["+room"]);
    });

    it("comes back into a channel while the server is still being told that it was left", async () => {
      await scene.page.connect();
      await scene.page.render(room("a"));
      await scene.page.shows("a", JOINED);
      await scene.page.run(async (lab) => {
        lab.render([{ id: "a", type: "channel", name: null }]);
        // so that the channel is left in between
        await new Promise((resolve) => setTimeout(resolve, 0));
        await new Promise((resolve) => setTimeout(resolve, 0));
        lab.render([{ id: "a", type: "channel", name: "room" }]);
      });
      // one round for the server to say that the channel was left, another for joining it again
      await scene.page.settle();
      await scene.page.settle();
      await scene.page.shows("a", JOINED);
      await scene.publish("room", 1);
      expect(await scene.page.heard(1)).to.deep.equal(["a:1"]);
      expect(scene.joined("room")).to.equal(1);
      expect(scene.channelEvents).to.deep.equal(["+room", "-room", "+room"]);
    });

    it("hears again what was left elsewhere and joined again", async () => {
      await scene.page.connect();
      await scene.page.render(room("a"));
      await scene.page.shows("a", JOINED);
      await scene.page.run((lab) => lab.socket.unsubscribe("room"));
      await scene.page.shows("a", NOT_JOINED);
      await scene.page.run((lab) => lab.socket.subscribe("room"));
      await scene.page.shows("a", JOINED);
      await scene.publish("room", 1);
      expect(await scene.page.heard(1)).to.deep.equal(["a:1"]);
      // in one go, too
      await scene.page.run((lab) =>
        Promise.all([lab.socket.unsubscribe("room"), lab.socket.subscribe("room")]),
      );
      await scene.page.shows("a", JOINED);
      await scene.publish("room", 2);
      expect(await scene.page.heard(1)).to.deep.equal(["a:2"]);
      await scene.page.render();
      await scene.page.run((lab) => lab.socket.unsubscribe("room"));
    });

    it("does nothing without a name", async () => {
      await scene.page.connect();
      await scene.page.render(room("a", { name: null }), room("b", { name: "" }));
      await scene.page.settle();
      await scene.page.shows("a", NOT_JOINED);
      await scene.page.shows("b", NOT_JOINED);
      expect(scene.channelEvents).to.deep.equal([]);
    });

    it("hands messages to the newest handler, which is no reason to join again", async () => {
      await scene.page.connect();
      await scene.page.render(room("a", { as: "first" }));
      await scene.page.shows("a", JOINED);
      await scene.page.render(room("a", { as: "second" }));
      await scene.page.settle();
      await scene.publish("room", 1);
      expect(await scene.page.heard(1)).to.deep.equal(["second:1"]);
      expect(scene.channelEvents).to.deep.equal(["+room"]);
    });

    it("reports what a handler throws, which disturbs no other component", async () => {
      scene.expected = [/the handler a has failed/];
      await scene.page.connect();
      await scene.page.render(room("a", { fails: true }), room("b"));
      await scene.page.shows("b", JOINED);
      await scene.publish("room", 1);
      await scene.publish("room", 2);
      expect(await scene.page.heard(2)).to.deep.equal(["b:1", "b:2"]);
      await scene.page.settle();
      expect(scene.page.problems).to.have.length(2);
    });

    it("shows why a channel was refused, and joins it when the connection is back and it may", async () => {
      scene.forbidden.add("room");
      await scene.page.connect();
      await scene.page.render(room("a"), room("b"));
      await scene.page.shows("a", '"isJoined":false', "Forbidden");
      await scene.page.shows("b", '"isJoined":false', "Forbidden");
      scene.forbidden.clear();
      scene.place.cut();
      await scene.page.shows("a", JOINED);
      await scene.page.shows("b", JOINED);
      expect(scene.joined("room")).to.equal(1);
    });

    it("is in the channel again after a reconnect, or shows why not", async () => {
      await scene.page.connect();
      await scene.page.render(room("a"), { id: "s", type: "state" });
      await scene.page.shows("a", JOINED);
      const back = once(scene.place.tokenServer, "subscribed");
      scene.place.cut();
      await back;
      await scene.page.shows("s", '{"state":"open"}');
      await scene.page.shows("a", JOINED);
      await scene.publish("room", 1);
      expect(await scene.page.heard(1)).to.deep.equal(["a:1"]);
      scene.forbidden.add("room");
      scene.place.cut();
      await scene.page.shows("a", '"isJoined":false', "Forbidden");
    });

    it("joins again when the connection was closed for good and somebody has logged in", async () => {
      await scene.page.connect();
      await scene.page.render(room("a"), { id: "s", type: "state" });
      await scene.page.shows("a", JOINED);
      for (const socket of scene.place.tokenServer.sockets()) socket.close(4403, "Logged out");
      await scene.page.shows("s", '"closed"');
      await scene.page.shows("a", '"isJoined":false', "Logged out");
      await scene.page.run((lab) => lab.socket.reauthenticate());
      await scene.page.shows("a", JOINED);
      await scene.publish("room", 1);
      expect(await scene.page.heard(1)).to.deep.equal(["a:1"]);
    });

    it("moves to the provider's new client", async () => {
      await scene.page.connect();
      await scene.page.render(room("a"));
      await scene.page.shows("a", JOINED);
      const [first] = scene.place.tokenServer.channelSockets("room");
      await scene.page.connect();
      await scene.page.render(room("a"));
      await scene.page.page.waitForFunction("lab.socket.channels().includes('room')");
      await scene.page.settle();
      await scene.publish("room", 1);
      expect(await scene.page.heard(1)).to.deep.equal(["a:1"]);
      await scene.page.run((lab) => lab.unmount());
      const seconds = scene.place.tokenServer.channelSockets("room");
      expect(seconds).to.not.include(first);
    });

    it("serves hundreds of components by one subscription", async () => {
      await scene.page.connect();
      const many = Array.from({ length: 400 }, (_, i) => room(`c${i}`));
      await scene.page.render(...many);
      await scene.page.shows("c399", JOINED);
      await scene.publish("room", 1);
      expect(await scene.page.heard(400)).to.have.length(400);
      expect(scene.channelEvents).to.deep.equal(["+room"]);
      // four of them, and two of the provider
      expect(await scene.page.run((lab) => lab.listeners())).to.equal(6);
    });
  });

  describe("useCall", () => {
    const caller = (path: string, more: object = {}): Part => ({ id: "c", type: "call", path, ...more });

    /** Shows a component whose call the server has, and does not answer yet. */
    const callSlowly = async () => {
      await scene.page.connect();
      await scene.page.render(caller("slow"));
      const asked = once(scene.world, "asked");
      await scene.page.run((lab) => void lab.notes.calls.get("c")?.call(1));
      await asked;
    };

    it("calls when it is told to, and shows the result, or the error", async () => {
      await scene.page.connect();
      await scene.page.render(caller("note"));
      await scene.page.shows("c", '{"isPending":false}');
      const value = await scene.page.run((lab) => lab.notes.calls.get("c")?.call({ n: 1 }));
      expect(value).to.deep.equal({ n: 1 });
      await scene.page.shows("c", '{"data":{"n":1},"isPending":false}');
      await scene.page.render(caller("fail"));
      await scene.page.shows("c", '{"isPending":false}');
      const message = await scene.page.run((lab) =>
        lab.notes.calls
          .get("c")
          ?.call()
          .catch((error: Error) => error.message),
      );
      expect(message).to.equal("Out of paper");
      await scene.page.shows("c", '"message":"Out of paper"', '"isPending":false');
      await scene.page.run((lab) => lab.notes.calls.get("c")?.reset());
      await scene.page.shows("c", '{"isPending":false}');
      expect(scene.calls).to.deep.equal(['{"n":1}']);
    });

    it("shows the newest call's result, also where an older one is answered later", async () => {
      await scene.page.connect();
      await scene.page.render(caller("slow"));
      for (const n of [1, 2]) {
        const asked = once(scene.world, "asked");
        await scene.page.run((lab, given) => void lab.notes.calls.get("c")?.call(given), n);
        await asked;
      }
      await scene.page.shows("c", '{"isPending":true}');
      scene.world.emit("answer 2", "new");
      await scene.page.shows("c", '{"data":"new","isPending":false}');
      scene.world.emit("answer 1", "old");
      await scene.page.settle();
      await scene.page.shows("c", '{"data":"new","isPending":false}');
    });

    it("gives up what is under way when the component is unmounted", async () => {
      await callSlowly();
      const aborted = once(scene.world, "aborted");
      await scene.page.render();
      await aborted;
      await scene.page.settle();
    });

    it("gives up what is under way when another function is to be called", async () => {
      await callSlowly();
      const aborted = once(scene.world, "aborted");
      await scene.page.render(caller("note"));
      await aborted;
      await scene.page.shows("c", '{"isPending":false}');
    });

    it("takes a signal, and leaves rejections that nobody looks at alone", async () => {
      await scene.page.connect();
      await scene.page.render(caller("slow"));
      const aborted = once(scene.world, "aborted");
      const asked = once(scene.world, "asked");
      await scene.page.run((lab) => {
        const life = new AbortController();
        void lab.notes.calls.get("c")?.call(1, { signal: life.signal });
        Object.assign(globalThis, { life });
      });
      await asked;
      await scene.page.page.evaluate("life.abort()");
      await aborted;
      await scene.page.shows("c", "The call was aborted", '"isPending":false');
    });

    it("works in an effect of a component in StrictMode", async () => {
      await scene.page.connect();
      await scene.page.render(caller("note", { atOnce: 5 }));
      await scene.page.shows("c", '{"data":5,"isPending":false}');
    });

    it("forgets calls that are under way when it is reset", async () => {
      await callSlowly();
      await scene.page.run((lab) => lab.notes.calls.get("c")?.reset());
      scene.world.emit("answer 1", "late");
      await scene.page.settle();
      await scene.page.shows("c", '{"isPending":false}');
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
      await scene.page.connect();
      await scene.page.render(loaded({ n: 1 }));
      await scene.page.shows("r", '{"data":{"n":1},"isPending":false}');
      await scene.page.render(loaded({ n: 1 }));
      await scene.page.settle();
      await scene.page.render(loaded({ n: 2 }));
      await scene.page.shows("r", '{"data":{"n":2},"isPending":false}');
      expect(scene.calls).to.deep.equal(['{"n":1}', '{"n":2}']);
    });

    it("gives up a call whose input is not wanted any more", async () => {
      await scene.page.connect();
      const asked = once(scene.world, "asked");
      await scene.page.render(loaded(1, { path: "slow" }));
      await asked;
      await scene.page.shows("r", '{"isPending":true}');
      const aborted = once(scene.world, "aborted");
      const again = once(scene.world, "asked");
      await scene.page.render(loaded(2, { path: "slow" }));
      expect(await aborted).to.deep.equal([1]);
      await again;
      scene.world.emit("answer 2", "two");
      await scene.page.shows("r", '{"data":"two","isPending":false}');
      const unmounted = once(scene.world, "asked").then(() => once(scene.world, "aborted"));
      await scene.page.render(loaded(3, { path: "slow" }));
      await scene.page.page.waitForFunction("document.getElementById('r').textContent.includes('true')");
      await scene.page.settle();
      await scene.page.render();
      expect(await unmounted).to.deep.equal([3]);
    });

    it("calls again after a reconnect, unless it is not to", async () => {
      await scene.page.connect();
      await scene.page.render(loaded(1), {
        ...loaded(2, { options: { refetchOnReconnect: false } }),
        id: "q",
      });
      await scene.page.shows("r", '{"data":1,"isPending":false}');
      await scene.page.shows("q", '{"data":2,"isPending":false}');
      const back = once(scene.place.tokenServer, "authenticated");
      scene.place.cut();
      await back;
      await scene.page.page.waitForFunction("lab.socket.state === 'open'");
      await scene.page.settle();
      await scene.page.shows("r", '{"data":1,"isPending":false}');
      expect(scene.calls).to.deep.equal(["1", "2", "1"]);
    });

    it("calls nothing while it is not enabled, and shows an error", async () => {
      await scene.page.connect();
      await scene.page.render(loaded(1, { options: { enabled: false } }));
      await scene.page.settle();
      await scene.page.shows("r", '{"isPending":false}');
      expect(scene.calls).to.deep.equal([]);
      await scene.page.render(loaded(1));
      await scene.page.shows("r", '{"data":1,"isPending":false}');
      await scene.page.render(loaded(1, { path: "fail" }));
      await scene.page.shows("r", "Out of paper", '"isPending":false');
    });
  });

  describe("with what is no JSON", () => {
    it("show an error instead of throwing, and call nothing", async () => {
      await scene.page.connect();
      await scene.page.run((lab) => {
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
        await scene.page.shows(`r${i}`, "TypeError", "This is no JSON value", reason, '"isPending":false');
        await scene.page.shows(`s${i}`, "TypeError", "This is no JSON value", reason, '"isRunning":false');
      }
      await scene.page.render({ id: "r0", type: "result", path: "note", input: 1 });
      await scene.page.shows("r0", '{"data":1,"isPending":false}');
      expect(scene.calls).to.deep.equal(["1"]);
    });
  });

  describe("useStream", () => {
    const stream = (path: string, more: object = {}): Part => ({ id: "s", type: "stream", path, ...more });

    it("shows the last item, and that the stream is done", async () => {
      await scene.page.connect();
      await scene.page.render(stream("count", { input: { to: 3 } }));
      await scene.page.shows("s", '{"last":"3","isRunning":false,"isDone":true}');
      expect(scene.calls).to.deep.equal(['{"to":3}']);
    });

    it("hands each item over once in StrictMode, and ends with the component", async () => {
      await scene.page.connect();
      await scene.page.render(stream("ticks", { input: 1, handler: "log" }));
      expect(await scene.page.heard(1)).to.deep.equal(['s:"first"']);
      await scene.page.shows("s", '{"isRunning":true,"isDone":false}');
      const ended = once(scene.world, "stream ended");
      await scene.page.render();
      await ended;
      await scene.page.settle();
      expect(scene.calls).to.deep.equal(["1"]);
    });

    it("begins anew for another input", async () => {
      await scene.page.connect();
      await scene.page.render(stream("ticks", { input: 1 }));
      await scene.page.shows("s", '"first"');
      const ended = once(scene.world, "stream ended");
      await scene.page.render(stream("ticks", { input: 2 }));
      expect(await ended).to.deep.equal([1]);
      await scene.page.shows("s", '"first"');
      expect(scene.calls).to.deep.equal(["1", "2"]);
    });

    it("lets a slow handler slow the server", async () => {
      let produced = 0;
      scene.world.on("item", (i: number) => {
        produced = i;
      });
      await scene.page.connect();
      await scene.page.render(stream("count", { input: {}, handler: "slow", options: { window: 4 } }));
      expect(await scene.page.heard(1)).to.deep.equal(['s:"1"']);
      await scene.page.settle();
      expect(await scene.page.run((lab) => lab.notes.log)).to.deep.equal([]);
      expect(produced).to.be.within(1, 6);
      await scene.page.run((lab) => lab.notes.waiting.shift()?.());
      expect(await scene.page.heard(1)).to.deep.equal(['s:"2"']);
      const ended = once(scene.world, "stream ended");
      await scene.page.render();
      await ended;
    });

    it("reports what a handler throws, and goes on", async () => {
      scene.expected = [/the handler s has failed/];
      await scene.page.connect();
      await scene.page.render(stream("count", { input: { to: 2 }, handler: "fail" }));
      expect(await scene.page.heard(2)).to.deep.equal(['s:"1"', 's:"2"']);
      await scene.page.shows("s", '{"isRunning":false,"isDone":true}');
      expect(scene.page.problems).to.have.length(2);
    });

    it("begins anew after a reconnect, unless it is not to", async () => {
      await scene.page.connect();
      await scene.page.render(stream("ticks", { input: 1 }), {
        ...stream("ticks", { input: 2, options: { restart: false } }),
        id: "t",
      });
      await scene.page.shows("s", '"first"');
      await scene.page.shows("t", '"first"');
      const back = once(scene.place.tokenServer, "authenticated");
      scene.place.cut();
      await back;
      await scene.page.shows("t", "Connection lost");
      await scene.page.shows("s", '{"last":"first","isRunning":true,"isDone":false}');
      await scene.page.settle();
      expect(scene.calls.toSorted()).to.deep.equal(["1", "1", "2"]);
    });

    it("shows why a stream has failed, also where there is none", async () => {
      await scene.page.connect();
      await scene.page.render(
        stream("ticks"),
        { ...stream("echo"), id: "t" },
        { ...stream("nothing"), id: "n" },
      );
      await scene.page.shows("s", '"first"');
      scene.world.emit("finish", true);
      await scene.page.shows("s", "Out of paper", '"isRunning":false', '"last":"first"');
      await scene.page.shows("t", "TypeError");
      await scene.page.shows("n", "Function not found");
    });

    it("reads nothing while it is not enabled", async () => {
      await scene.page.connect();
      await scene.page.render(stream("ticks", { options: { enabled: false } }));
      await scene.page.settle();
      await scene.page.shows("s", '{"isRunning":false,"isDone":false}');
      expect(scene.calls).to.deep.equal([]);
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
      const render = await bundleServer(scene.version);
      const said: unknown[] = [];
      let html = "";
      const { error, warn } = console;
      console.error = console.warn = (...args: unknown[]) => said.push(args);
      try {
        html = render(parts);
      } finally {
        Object.assign(console, { error, warn });
      }
      expect(said).to.deep.equal([]);
      expect(html).to.include("connecting").and.to.include("isPending");
      await scene.page.connect();
      await scene.page.run((lab, given) => lab.hydrate(given.html, given.parts), { html, parts });
      await scene.page.shows("state", '{"state":"open"}');
      await scene.page.shows("channel", JOINED);
      await scene.page.shows("result", '{"data":1,"isPending":false}');
      await scene.page.shows("stream", '"first"');
      await scene.page.settle();
      expect(scene.calls.toSorted()).to.deep.equal(["1", "1"]);
      expect(scene.channelEvents).to.deep.equal(["+room"]);
    });

    it("wait for the client where the page has none yet", async () => {
      await scene.page.render(...parts);
      await scene.page.shows("state", '{"state":"connecting"}');
      await scene.page.shows("channel", NOT_JOINED);
      await scene.page.run((lab) => lab.connect());
      await scene.page.render(...parts);
      await scene.page.shows("state", '{"state":"open"}');
      await scene.page.shows("channel", JOINED);
      await scene.page.shows("result", '{"data":1,"isPending":false}');
      await scene.page.shows("stream", '"first"');
    });
  });
});
