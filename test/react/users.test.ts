import { once } from "node:events";
import { expect } from "chai";
import { HooksScene } from "./hooks-scene.js";
import type { Part } from "./page/parts.js";
import { withEachReact } from "./page-scene.js";

const JOINED = '{"isJoined":true}';

withEachReact("The hooks", HooksScene, (scene) => {
  describe("for another user", () => {
    const identify = (auth: Record<string, unknown>) => auth.name as string;
    const showIdentity = (auth: Record<string, unknown>) => ({ id: auth.name });
    const WHO: Part = { id: "w", type: "who" };
    const shown = (name: string) =>
      `{"identity":{"id":"${name}"},"data":"${name}","called":"${name}","last":"${name}","isPending":false}`;

    /** Shows all of one user that there is to show. */
    const showAlice = async () => {
      await scene.page.connect();
      await scene.page.render(WHO);
      await scene.page.run((lab) => lab.notes.calls.get("w")?.call());
      await scene.page.shows("w", '"data":"alice"', '"called":"alice"', '"last":"alice"');
    };

    const commits = () => scene.page.run((lab) => lab.notes.commits.splice(0));

    it("show nothing of the one before, not for one commit, on the live connection", async () => {
      await scene.start({ showIdentity });
      await showAlice();
      await scene.page.shows("w", shown("alice"));
      await commits();
      scene.user = "bob";
      await scene.page.run((lab) => lab.socket.reauthenticate());
      await scene.page.shows("w", '"data":"bob"', '"last":"bob"');
      await scene.page.run((lab) => lab.notes.calls.get("w")?.call());
      await scene.page.shows("w", shown("bob"));
      const [first, ...others] = await commits();
      expect(first).to.equal('{"identity":{"id":"bob"},"isPending":true}');
      for (const commit of others) expect(commit).to.include('{"id":"bob"}').and.not.include("alice");
    });

    it("show nothing of the one before after a reconnect, also where the server shows nothing", async () => {
      await scene.start({ identify });
      await showAlice();
      // the same one is no other
      const back = once(scene.place.tokenServer, "authenticated");
      scene.place.cut();
      await back;
      await scene.page.shows("w", '"data":"alice"', '"called":"alice"');
      await scene.page.page.waitForFunction("lab.socket.state === 'open'");
      await scene.page.settle();
      await scene.page.shows("w", '"data":"alice"', '"called":"alice"', '"isPending":false');
      await commits();
      scene.user = "bob";
      await scene.page.run((lab) => lab.socket.reauthenticate());
      await scene.page.shows("w", '"data":"bob"', '"last":"bob"');
      const seen = await commits();
      const since = seen.indexOf('{"isPending":true}');
      expect(since).to.be.at.least(0);
      for (const commit of seen.slice(since)) expect(commit).to.not.include("alice");
    });

    it("show nothing of the one before after a login of which the server says nothing", async () => {
      await showAlice();
      scene.user = "bob";
      await scene.page.run((lab) => lab.socket.reauthenticate());
      await scene.page.shows("w", '"data":"bob"', '"last":"bob"');
      await scene.page.settle();
      expect(await scene.page.shown("w")).to.deep.equal({ data: "bob", last: "bob", isPending: false });
    });

    it("show nothing any more once the server refuses the client", async () => {
      scene.expected = [/status of 403/];
      await scene.start({ authentication: () => scene.user !== "" && { name: scene.user } });
      await showAlice();
      scene.user = "";
      await scene.page.run((lab) => lab.socket.reauthenticate().catch(() => {}));
      await scene.page.shows("w", '{"isPending":false}');
      scene.user = "bob";
      await scene.page.run((lab) => lab.socket.reauthenticate());
      await scene.page.shows("w", '"data":"bob"', '"last":"bob"');
    });

    it("keep what they show when the client learns who it is, and when that stays so", async () => {
      await scene.start({ identify, showIdentity });
      await scene.page.run((lab) => lab.connect());
      await scene.page.render({ id: "c", type: "call", path: "note", atOnce: 1 }, WHO);
      await scene.page.shows("c", '{"data":1,"isPending":false}');
      // StrictMode may call twice
      const before = [...scene.calls];
      await scene.page.run((lab) => lab.socket.reauthenticate());
      await scene.page.settle();
      await scene.page.shows("c", '{"data":1,"isPending":false}');
      expect(scene.calls).to.deep.equal(before);
    });

    it("send nothing that waits for a connection as that one", async () => {
      await scene.start({ identify });
      await showAlice();
      await scene.page.render({ id: "c", type: "call", path: "note" });
      scene.user = "bob";
      // in place before the connection is lost
      await scene.page.run((lab) => {
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
      scene.place.cut();
      expect(await scene.page.page.evaluate("outcome")).to.equal("AbortedError");
      await scene.page.settle();
      await scene.page.shows("c", '{"isPending":false}');
      expect(scene.calls).to.deep.equal([]);
    });

    it("hand over no item that has come for the one before", async () => {
      await scene.start({ showIdentity });
      await scene.page.connect();
      await scene.page.render({ id: "s", type: "stream", path: "names", handler: "slow" });
      expect(await scene.page.heard(1)).to.deep.equal(['s:"alice 1"']);
      // so that more have come, which wait for the handler
      await scene.page.settle();
      scene.user = "bob";
      await scene.page.run((lab) => {
        lab.socket.once("identity", () => lab.notes.waiting.shift()?.());
        return lab.socket.reauthenticate();
      });
      expect(await scene.page.heard(1)).to.deep.equal(['s:"bob 1"']);
    });

    it("join their channels anew, also those that the one before was refused", async () => {
      await scene.start({ showIdentity });
      scene.place.tokenServer.on("subscribe", ({ auth }, { channel }) =>
        channel.startsWith(String(auth.name)),
      );
      await scene.page.connect();
      const both: Part[] = ["alice", "bob"].map((name) => ({ id: name, type: "channel", name }));
      await scene.page.render(...both);
      await scene.page.shows("alice", JOINED);
      await scene.page.shows("bob", "Forbidden");
      scene.user = "bob";
      await scene.page.run((lab) => lab.socket.reauthenticate());
      await scene.page.shows("bob", JOINED);
      await scene.page.shows("alice", "Forbidden");
      await scene.publish("bob", 1);
      expect(await scene.page.heard(1)).to.deep.equal(["bob:1"]);
    });
  });

  if (scene.version !== "18") {
    describe("in a hidden Activity", () => {
      const hideable = (isHidden: boolean, ...parts: Part[]): Part => ({
        id: "a",
        type: "activity",
        isHidden,
        parts,
      });
      const note: Part = { id: "r", type: "result", path: "note", input: 1 };

      it("call nothing, and again when they are shown again, with the old data meanwhile", async () => {
        await scene.page.connect();
        const slow: Part = { ...note, path: "slow" };
        await scene.page.render(hideable(true, slow));
        await scene.page.settle();
        expect(scene.calls).to.deep.equal([]);
        const asked = once(scene.world, "asked");
        await scene.page.render(hideable(false, slow));
        await asked;
        scene.world.emit("answer 1", "old");
        await scene.page.shows("r", '{"data":"old","isPending":false}');
        await scene.page.render(hideable(true, slow));
        await scene.page.settle();
        const back = once(scene.place.tokenServer, "authenticated");
        scene.place.cut();
        await back;
        await scene.page.page.waitForFunction("lab.socket.state === 'open'");
        await scene.page.settle();
        expect(scene.calls).to.deep.equal(["1"]);
        const again = once(scene.world, "asked");
        await scene.page.render(hideable(false, slow));
        await again;
        await scene.page.shows("r", '{"data":"old","isPending":true}');
        scene.world.emit("answer 1", "new");
        await scene.page.shows("r", '{"data":"new","isPending":false}');
        expect(scene.calls).to.deep.equal(["1", "1"]);
      });

      it("stay pending where they are hidden before the answer, and call again", async () => {
        await scene.page.connect();
        const slow: Part = { ...note, path: "slow" };
        const asked = once(scene.world, "asked");
        await scene.page.render(hideable(false, slow));
        await asked;
        const aborted = once(scene.world, "aborted");
        await scene.page.render(hideable(true, slow));
        await aborted;
        await scene.page.settle();
        const again = once(scene.world, "asked");
        await scene.page.render(hideable(false, slow));
        expect(await scene.page.shown("r")).to.deep.equal({ isPending: true });
        await again;
        scene.world.emit("answer 1", "late");
        await scene.page.shows("r", '{"data":"late","isPending":false}');
      });

      for (const isPlain of [false, true]) {
        const name = isPlain ? ", also where nothing asks who it is" : "";
        it(`show nothing of a user who has left meanwhile, not for one commit${name}`, async () => {
          await scene.start({ showIdentity: ({ name }) => ({ id: name }) });
          await scene.page.connect();
          const who: Part = { id: "w", type: "who", isPlain };
          await scene.page.render(hideable(false, who));
          await scene.page.shows("w", '"data":"alice"', '"last":"alice"');
          await scene.page.render(hideable(true, who));
          await scene.page.settle();
          scene.user = "bob";
          // in one go, so that React has no time for what is hidden
          await scene.page.run(
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
          await scene.page.shows("w", '"data":"bob"', '"last":"bob"');
          const commits = await scene.page.run((lab) => lab.notes.commits);
          expect(commits).to.not.be.empty;
          for (const commit of commits) expect(commit).to.not.include("alice");
        });
      }
    });
  }
});
