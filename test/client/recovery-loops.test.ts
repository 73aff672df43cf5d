import { expect } from "chai";
import { LostError } from "../../lib/client/index.js";
import { HistoryScene } from "./history-scene.js";
import { deferred, failure, happened } from "./support.js";

describe("Loops and histories of a client", () => {
  const scene = HistoryScene.forEachTest();

  describe("that reads a history", () => {
    const twelve = () => Array.from({ length: 12 }, (_, i) => scene.server.keep("room", i));
    const numbers = (page: { messages: { message: unknown }[] }) =>
      page.messages.map(({ message }) => message);

    it("gets the newest messages, and then those before them", async () => {
      const entries = twelve();
      const page = await scene.client.history("room", { last: 3 });
      expect(page).to.deep.equal({
        messages: entries.slice(-3),
        at: entries.at(-1)?.at,
        more: true,
        before: entries[9]?.at,
      });
      const older = await scene.client.history("room", { before: page.messages[0]?.at, last: 20 });
      expect(numbers(older)).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8]);
      expect(numbers(await scene.client.history("room"))).to.have.length(10);
      expect(scene.server.requests("_history").slice(0, 2)).to.deep.equal([
        { channel: "room", last: 3 },
        { channel: "room", before: "e1.10.t10", last: 20 },
      ]);
      const called = deferred<unknown[]>();
      scene.client.history("room", (...args) => called.resolve(args), { last: 1 });
      expect((await called.promise)[1]).to.deep.include({ messages: entries.slice(-1) });
    });

    it("asks once more when the connection was lost meanwhile", async () => {
      twelve();
      scene.server.intercept = ({ rpc }, socket) => {
        if (rpc !== "_history") return false;
        scene.server.intercept = () => false;
        socket.close();
        return true;
      };
      expect(numbers(await scene.client.history("room", { last: 1 }))).to.deep.equal([11]);
    });

    it("fails where the channel has none, and where the server keeps none", async () => {
      expect(await failure(scene.client.history("hall"))).to.have.property("code", "no_history");
      scene.server.server = { protocol: 4 };
      await scene.lose();
      await happened(scene.client, "reconnect");
      const error = await failure(scene.client.history("room"));
      expect(error).to.include({ code: "no_history", message: "No history" });
      expect(scene.server.requests("_history")).to.have.length(1);
    });
  });

  describe("that reads a channel by a loop", () => {
    const read = async (loop: AsyncIterableIterator<unknown, undefined>, count: number) => {
      const values: unknown[] = [];
      while (values.length < count) values.push((await loop.next()).value);
      return values;
    };

    it("begins with what came after a position, or with the last messages", async () => {
      const entries = ["a", "b", "c"].map((message) => scene.server.keep("room", message));
      const loops = [
        scene.client.channel("room"),
        scene.client.channel("room", { since: entries[0]?.at }),
        scene.client.channel("room", { last: 1 }),
      ] as const;
      const first = loops.map((loop) => loop.next());
      await Promise.all(first.slice(1));
      await scene.echo();
      scene.server.publish("room", "d");
      expect((await Promise.all(first)).map(({ value }) => value)).to.deep.equal(["d", "b", "c"]);
      expect(await read(loops[1], 2)).to.deep.equal(["c", "d"]);
      expect(await read(loops[2], 1)).to.deep.equal(["d"]);
      // nobody else has asked for those before
      expect(scene.messages()).to.deep.equal(["d"]);
      expect(scene.client.position("room")).to.equal(scene.server.newest("room"));
    });

    it("gets what it has asked for alone, and others what is new to them", async () => {
      scene.server.keep("room", "a");
      const other = scene.client.channel("room");
      const first = other.next();
      await happened(scene.client, "subscribed");
      scene.server.publish("room", "b");
      expect((await first).value).to.equal("b");
      // it was not sent to anybody yet
      scene.server.keep("room", "c");
      const loop = scene.client.channel("room", { last: 3 });
      expect(await read(loop, 3)).to.deep.equal(["a", "b", "c"]);
      expect(await read(other, 1)).to.deep.equal(["c"]);
      scene.server.publish("room", "d");
      expect([...(await read(loop, 1)), ...(await read(other, 1))]).to.deep.equal(["d", "d"]);
      expect(scene.messages()).to.deep.equal(["b", "c recovered", "d"]);
    });

    for (const options of [{ since: "e1.1.t1" }, { last: 4 }]) {
      it(`gets all by ${Object.keys(options)} where it is cut in the middle, while others go on`, async () => {
        for (let i = 0; i < 5; i++) scene.server.keep("room", i);
        const other = scene.client.channel("room");
        const first = other.next();
        await happened(scene.client, "subscribed");
        await scene.echo();
        let cuts = 0;
        scene.server.intercept = (frame, socket) => {
          const { since } = frame.req ?? {};
          if (frame.rpc !== "_subscribe" || since === scene.server.newest("room") || cuts === 2) return false;
          cuts++;
          scene.server.join(frame, socket);
          const [entry] = scene.server.after(frame.req, "room").entries;
          if (entry) scene.server.send(socket, scene.server.frame("room", entry));
          socket.close();
          scene.server.keep("room", `missed ${cuts}`);
          return true;
        };
        const loop = scene.client.channel("room", options);
        expect(await read(loop, 6)).to.deep.equal([1, 2, 3, 4, "missed 1", "missed 2"]);
        expect([(await first).value, ...(await read(other, 1))]).to.deep.equal(["missed 1", "missed 2"]);
        scene.server.publish("room", "end");
        expect(await read(loop, 1)).to.deep.equal(["end"]);
        expect(scene.plain()).to.deep.equal(["missed 1", "missed 2", "end"]);
      });
    }

    it("asks the server for nothing where the channel is joined already, and the loop wants no older messages", async () => {
      await scene.client.subscribe("room");
      const loop = scene.client.channel("room");
      const first = loop.next();
      await scene.echo();
      scene.server.publish("room", "a");
      expect((await first).value).to.equal("a");
      expect(scene.server.requests("_subscribe")).to.have.length(1);
    });

    it("goes on after a reconnect with what it has missed", async () => {
      const loop = scene.client.channel("room");
      const first = loop.next();
      await happened(scene.client, "subscribed");
      await scene.lose();
      scene.server.publish("room", "a");
      scene.server.publish("room", "b");
      expect([(await first).value, ...(await read(loop, 1))]).to.deep.equal(["a", "b"]);
    });

    for (const onLost of ["continue", "throw"] as const) {
      it(`is told of lost messages by onLost "${onLost}"`, async () => {
        const whole = scene.client.channel("room", { onLost });
        const first = whole.next();
        await happened(scene.client, "subscribed");
        scene.server.publish("room", "a");
        expect((await first).value).to.equal("a");
        scene.server.sendAll({ channel: "room", lost: { messages: 2, reason: "slow" }, at: "e1.3.t3" });
        scene.server.keep("room", "b");
        const behind = scene.client.channel("room", { since: "e0.1.t", onLost });
        if (onLost === "continue") {
          expect(await read(behind, 2)).to.deep.equal(["a", "b"]);
          scene.server.publish("room", "c");
          expect(await read(whole, 1)).to.deep.equal(["c"]);
        } else {
          for (const [loop, reason] of [
            [whole, "slow"],
            [behind, "reset"],
          ] as const) {
            const error = await failure(loop.next());
            expect(error).to.be.instanceOf(LostError).and.to.include({ code: "lost", reason });
            expect((await loop.next()).done).to.equal(true);
          }
        }
        expect(scene.others().map(([, , loss]) => (loss as { reason: string }).reason)).to.deep.equal([
          "slow",
          "reset",
        ]);
      });
    }

    it("has no beginning where there is no history", async () => {
      const loop = scene.client.channel("hall", { last: 5 });
      const first = loop.next();
      await happened(scene.client, "subscribed");
      await scene.echo();
      await scene.client.publish("hall", 1);
      expect((await first).value).to.equal(1);
      const other = scene.client.channel("hall", { since: "e1.1.t1", onLost: "throw" });
      expect(await failure(other.next())).to.have.property("reason", "reset");
    });
  });
});
