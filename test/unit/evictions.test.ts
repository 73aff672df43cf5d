import { expect } from "chai";
import type { SinonFakeTimers } from "sinon";
import { Evictions } from "../../lib/server/cluster/evictions.js";
import type { Redis } from "../../lib/server/redis/redis.js";
import type { JsonObject } from "../../lib/shared/protocol.js";
import { stopClock } from "../support/stopped-clock.js";

describe("Commands that empty a channel", () => {
  let clock: SinonFakeTimers;
  let appended: unknown[][];
  let sent: JsonObject[];
  let emptied: string[];
  let failure: Error | undefined;
  /** What Redis takes to confirm that it keeps one. */
  let confirmed: Promise<void>;
  let evictions: Evictions;

  beforeEach(() => {
    clock = stopClock();
    [appended, sent, emptied, failure, confirmed] = [[], [], [], undefined, Promise.resolve()];
    const publisher: Partial<Redis> = {
      append: async (key, json, count, ttl) => {
        appended.push([key, JSON.parse(json), count, ttl]);
        await confirmed;
        if (failure) throw failure;
      },
    };
    evictions = new Evictions({
      publisher: publisher as Redis,
      key: "evictions",
      limits: { channelNameLength: 10 },
      broadcastCommand: async (json) => sent.push(JSON.parse(json)),
      emptyHere: async (channel) => void emptied.push(channel),
    });
  });
  afterEach(() => {
    evictions.close();
    clock.restore();
  });

  const commandOf = (channel: string, id: unknown = "id", at: unknown = Date.now()): JsonObject => ({
    command: "unsubscribeAll",
    data: { channel, at },
    id,
  });
  /** How an eviction of this server stands. */
  const evict = (channel: string) => {
    const seen: { state: string } = { state: "pending" };
    evictions.evict(channel).then(
      () => {
        seen.state = "done";
      },
      (error: Error) => {
        seen.state = error.message;
      },
    );
    return seen;
  };

  it("go to all servers, and are kept for those that are away", async () => {
    evict("room");
    await clock.tickAsync(0);
    const [message] = sent;
    expect(message).to.deep.equal({ ...commandOf("room"), id: message?.id });
    expect(message?.id).to.match(/^[\da-f-]{36}$/);
    expect(appended).to.deep.equal([["evictions", message, 1000, 3_600_000]]);
  });

  it("are done when they have come back, and each for itself", async () => {
    const [room, hall] = [evict("room"), evict("hall")];
    await clock.tickAsync(0);
    expect([room.state, emptied]).to.deep.equal(["pending", []]);
    expect(evictions.receive(sent[0] ?? {})).to.equal(true);
    await clock.tickAsync(0);
    expect([room.state, hall.state, emptied]).to.deep.equal(["done", "pending", ["room"]]);
    // it has come back, and is not carried out again
    await clock.tickAsync(4000);
    evictions.receive(sent[1] ?? {});
    await clock.tickAsync(10_000);
    expect([hall.state, emptied]).to.deep.equal(["done", ["room", "hall"]]);
  });

  it("are carried out here after five seconds where they have not come back", async () => {
    const seen = evict("room");
    await clock.tickAsync(4999);
    expect([seen.state, emptied]).to.deep.equal(["pending", []]);
    await clock.tickAsync(1);
    expect([seen.state, emptied]).to.deep.equal(["done", ["room"]]);
    // by the list it is known by then
    evictions.catchUp(sent);
    expect(emptied).to.deep.equal(["room"]);
  });

  it("are not carried out a second time where they have come back, but Redis is slow to confirm", async () => {
    let confirm = () => {};
    confirmed = new Promise((resolve) => {
      confirm = resolve;
    });
    const seen = evict("room");
    await clock.tickAsync(0);
    evictions.receive(sent[0] ?? {});
    await clock.tickAsync(10_000);
    expect([seen.state, emptied]).to.deep.equal(["pending", ["room"]]);
    confirm();
    await clock.tickAsync(0);
    expect(seen.state).to.equal("done");
  });

  it("fail where Redis does not take them, and are then carried out nowhere", async () => {
    failure = new Error("away");
    const seen = evict("room");
    await clock.tickAsync(10_000);
    expect([seen.state, emptied]).to.deep.equal(["away", []]);
  });

  it("wait for nobody once the server is shut down", async () => {
    const seen = evict("room");
    await clock.tickAsync(0);
    evictions.close();
    await clock.tickAsync(0);
    expect(seen.state).to.equal("done");
    await clock.tickAsync(10_000);
    expect(emptied).to.deep.equal([]);
  });

  it("are carried out for other servers, those of version 3 included", () => {
    expect(evictions.receive(commandOf("room"))).to.equal(true);
    expect(evictions.receive({ command: "unsubscribeAll", data: { channel: "hall" } })).to.equal(true);
    expect(emptied).to.deep.equal(["room", "hall"]);
  });

  it("are none where they name no channel that users may have", () => {
    const wrong: JsonObject[] = [
      { ...commandOf("room"), command: "subscribeAll" },
      { ...commandOf("room"), data: null },
      { ...commandOf("room"), data: "room" },
      commandOf(""),
      commandOf("12345678901"),
      commandOf("___room___"),
      commandOf(5 as unknown as string),
    ];
    for (const message of wrong) expect(evictions.receive(message)).to.equal(false);
    evictions.catchUp(wrong);
    expect(emptied).to.deep.equal([]);
    expect(evictions.receive(commandOf("1234567890"))).to.equal(true);
  });

  it("are caught up with where they were missed, and where they are not older than this server", async () => {
    const before = Date.now() - 1;
    await clock.tickAsync(1000);
    evictions.receive(commandOf("heard", "1"));
    evictions.catchUp([
      commandOf("heard", "1"),
      commandOf("missed", "2"),
      commandOf("old", "3", before),
      commandOf("first", "4", before + 1),
      commandOf("nameless", null),
      commandOf("timeless", "5", "now"),
    ]);
    expect(emptied).to.deep.equal(["heard", "missed", "first", "nameless", "timeless"]);
    evictions.catchUp([commandOf("missed", "2")]);
    expect(emptied).to.have.length(5);
    // one without an id is not known again, and no other is taken for it
    evictions.catchUp([commandOf("nameless", null)]);
    expect(emptied).to.have.length(6);
  });

  it("are known by the thousand, the newest of them", () => {
    for (let i = 0; i <= 1000; i++) evictions.receive(commandOf("room", String(i)));
    emptied.length = 0;
    evictions.catchUp(["1", "1000", "0"].map((id) => commandOf(id, id)));
    expect(emptied).to.deep.equal(["0"]);
  });
});
