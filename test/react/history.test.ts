import { expect } from "chai";
import { memoryRedis } from "../../lib/memory.js";
import { deferred, type Place } from "../client/support.js";
import type { ReactPage } from "../support/react-page.js";
import type { Part } from "./page/parts.js";
import { PageScene, withEachReact } from "./page-scene.js";

const JOINED = '{"isJoined":true}';

withEachReact("The hooks on a channel with a history", PageScene, (scene) => {
  let place: Place;
  let page: ReactPage;
  let user: string;
  /** The server lets nobody in before it. */
  let gate: Promise<void>;

  beforeEach(async () => {
    user = "alice";
    gate = Promise.resolve();
    const redis = memoryRedis();
    place = await scene.stage.application({
      redisClient: redis,
      pubsubClient: redis,
      options: {
        socketController: { echo: (_auth: unknown, data: unknown) => data },
        authentication: async () => {
          await gate;
          return { name: user };
        },
        showIdentity: (auth) => auth,
        history: { room: { size: 8, ttl: 60_000 } },
      },
    });
    scene.leadTo(place);
    page = scene.page;
    await page.connect();
  });

  const publish = async (...messages: unknown[]) => {
    const positions: string[] = [];
    for (const message of messages) positions.push(`${await place.tokenServer.publish("room", message)}`);
    return positions;
  };

  /** Cuts the page off while something happens, and waits until it is back. */
  const whileAway = async (act: () => Promise<unknown>) => {
    await page.run((lab) => {
      Object.assign(globalThis, {
        away: new Promise((resolve) => lab.socket.once("state", resolve)),
        back: new Promise((resolve) => lab.socket.once("reconnect", resolve as () => void)),
      });
    });
    const opened = deferred();
    gate = opened.promise;
    place.cut();
    await page.page.evaluate("away");
    await act();
    opened.resolve();
    await page.page.evaluate("back");
  };

  const room = (id: string, options?: object): Part => ({
    id,
    type: "channel",
    name: "room",
    ...(options && { options }),
  });
  const list = (more: object = {}): Part => ({ id: "h", type: "history", name: "room", ...more });

  it("useChannel hands over what was missed, once", async () => {
    await page.render(room("a"));
    await page.shows("a", JOINED);
    await publish(1);
    await page.heard(1);
    await whileAway(() => publish(2, 3));
    await publish(4);
    expect(await page.heard(3)).to.deep.equal(["a:2", "a:3", "a:4"]);
  });

  it("useChannel begins with the last messages, or after a position, for one component alone", async () => {
    const [, second] = await publish(1, 2, 3);
    await page.render(room("plain"));
    await page.shows("plain", JOINED);
    await page.render(room("plain"), room("last", { last: 2 }));
    expect(await page.heard(2)).to.deep.equal(["last:2", "last:3"]);
    await page.render(room("plain"), room("last", { last: 2 }), room("since", { since: second, last: 8 }));
    expect(await page.heard(1)).to.deep.equal(["since:3"]);
    await publish(4);
    expect((await page.heard(3)).sort()).to.deep.equal(["last:4", "plain:4", "since:4"]);
    // another value later changes nothing
    await page.render(room("last", { last: 5 }));
    await publish(5);
    expect(await page.heard(1)).to.deep.equal(["last:5"]);
  });

  it("useChannel tells what is lost, and that a position is none", async () => {
    await page.render(room("a", { last: 1 }), room("b", { since: "nowhere" }));
    await page.shows("a", JOINED);
    await page.shows("b", "since must be");
    await whileAway(() => publish(...Array(10).keys()));
    const lost = (await page.heard(10)).filter((text) => text.includes("lost")).sort();
    expect(lost).to.deep.equal(["a", "b"].map((id) => `${id} lost:{"messages":2,"reason":"trimmed"}`));
  });

  it("useHistory shows old, new and missed messages as one list, each once", async () => {
    await publish("a", "b", "c", "d", "e");
    await page.render(list({ last: 2 }));
    await page.shows("h", '"texts":"d,e"', '"hasOlder":true', '"isLive":true');
    await publish("f");
    await page.shows("h", '"texts":"d,e,f"');
    await page.run((lab) => lab.notes.loaders.get("h")?.());
    await page.shows("h", '"texts":"b,c,d,e,f"', '"hasOlder":true');
    await whileAway(() => publish("g"));
    await publish("h");
    await page.shows("h", '"texts":"b,c,d,e,f,g,h"', '"isLive":true');
    await page.run((lab) => lab.notes.loaders.get("h")?.());
    await page.shows("h", '"texts":"a,b,c,d,e,f,g,h"', '"hasOlder":false');
    await page.run((lab) => lab.notes.loaders.get("h")?.());
    expect(await page.shown("h")).to.deep.equal({
      texts: "a,b,c,d,e,f,g,h",
      hasOlder: false,
      isLive: true,
    });
  });

  it("useHistory says that messages between those that it has are lost", async () => {
    await publish("a");
    await page.render(list());
    await page.shows("h", '"texts":"a"', '"hasOlder":false');
    await whileAway(() => publish(...Array(10).keys()));
    await page.shows("h", '"texts":"a,2,3,4,5,6,7,8,9"', '"lost":{"messages":2,"reason":"trimmed"}');
  });

  it("useHistory keeps no more than its limit, and reads the rest again", async () => {
    await page.render(list({ last: 2, limit: 3 }));
    await page.shows("h", '"isLive":true');
    await publish(1, 2, 3, 4, 5);
    await page.shows("h", '"texts":"3,4,5"', '"hasOlder":true');
    await page.run((lab) => lab.notes.loaders.get("h")?.());
    await page.shows("h", '"texts":"1,2,3,4,5"');
  });

  it("useHistory shows nothing of the former user's to another one", async () => {
    await publish("a");
    place.tokenServer.on("subscribe", (socket) => (socket.auth as { name?: string }).name === "alice");
    await page.render(list());
    await page.shows("h", '"texts":"a"');
    user = "bob";
    await page.run((lab) => lab.socket.reauthenticate());
    await page.shows("h", '"texts":""', "Forbidden", '"isLive":false');
    await page.render(list({ name: null }));
    await page.shows("h", '{"texts":"","hasOlder":false,"isLive":false}');
  });

  it("useHistory says that there is no history", async () => {
    await page.render(list({ name: "hall" }));
    await page.shows("h", '"isLive":true', '"error"');
  });
});
