import { expect } from "chai";
import sinon from "sinon";
import { DEFAULT_LAST, Histories } from "../../lib/server/history/histories.js";
import type { ChannelHistory } from "../../lib/server/history/history-option.js";
import type { HistoryOptions } from "../../lib/server/history/kept-message.js";
import type { Limits } from "../../lib/server/limits/limits.js";
import {
  type Entry,
  type HistoryBounds,
  type HistoryNames,
  historyNames,
  type LogQuery,
  type NewEntry,
  parseEnvelope,
} from "../../lib/server/redis/history-log.js";
import { MemoryLogs } from "../../lib/server/redis/memory-log.js";
import type { Redis } from "../../lib/server/redis/redis.js";
import { formatPosition, parsePosition } from "../../lib/shared/position.js";

const DAY = 86_400_000;
const OPTION: ChannelHistory = { size: 1000, ttl: 60_000 };

describe("The histories of a server's channels", () => {
  let logs: MemoryLogs;
  let failure: Error | undefined;
  let read: { readonly names: HistoryNames; readonly bounds: HistoryBounds; readonly query: LogQuery }[];
  let kept: { readonly names: HistoryNames; readonly bounds: HistoryBounds; readonly entry: NewEntry }[];
  let published: Entry[];
  let options: Record<string, ChannelHistory>;
  let told: unknown[];
  let errors: unknown[];
  let histories: Histories;

  beforeEach(() => {
    logs = new MemoryLogs();
    [failure, read, kept, published, told, errors] = [undefined, [], [], [], [], []];
    options = { room: OPTION };
    const redis: Partial<Redis> = {
      keep: async (names, bounds, entry) => {
        kept.push({ names, bounds, entry });
        return logs.keep(names, bounds, entry, (payload) => {
          const parsed = parseEnvelope(payload);
          if (parsed) published.push(parsed);
        });
      },
      read: async (names, bounds, query) => {
        read.push({ names, bounds, query });
        if (failure) throw failure;
        return logs.read(names, bounds, query);
      },
    };
    histories = new Histories({
      redis: redis as Redis,
      channelPrefix: "shop:",
      limits: { recoverMessages: 3, tailBytes: 100_000, redisTimeout: 10_000 } as Limits,
      optionOf: (channel) => options[channel],
      areKept: true,
      deliver: (channel, { json }) => told.push([channel, json]),
      lose: (channel, loss, at) => told.push([channel, loss, at.offset]),
      onError: (error) => errors.push(error),
    });
  });
  afterEach(() => {
    sinon.restore();
    histories.shutdown();
  });

  const publish = async (count: number, jsonOf: (n: number) => string = String) => {
    for (let i = 1; i <= count; i++) await histories.publish("room", jsonOf(i));
  };
  const messagesOf = async (given: HistoryOptions) => {
    const { messages, ...others } = await histories.read("room", given);
    return [messages.map(({ message }) => message), others] as const;
  };
  const atOf = (offset: number) => {
    const entry = published.find(({ position }) => position.offset === offset);
    if (!entry) throw new Error("It was not published");
    return formatPosition(entry.position);
  };
  const errorOf = async (promise: Promise<unknown> | undefined) => {
    const [outcome] = await Promise.allSettled([promise]);
    return outcome?.status === "rejected" ? outcome.reason : undefined;
  };

  it("are those of the channels with the option alone", async () => {
    expect(histories.areKept).to.equal(true);
    expect([histories.has("room"), histories.has("hall")]).to.deep.equal([true, false]);
    expect(histories.publish("hall", "1")).to.equal(undefined);
    expect(histories.reader("hall")).to.equal(undefined);
    expect(histories.open("hall")).to.equal(undefined);
    expect(histories.live("hall")).to.equal(undefined);
    histories.close("hall");
    const error = await errorOf(histories.read("hall", {}));
    expect(error?.message).to.equal('The channel "hall" keeps no history: see the option history');
    expect([read, kept]).to.deep.equal([[], []]);
  });

  it("keep what is published, with all that belongs to it", async () => {
    const first = await histories.publish("room", "1", "id", "sid");
    expect(first).to.deep.equal({ at: atOf(1), isRepeated: false });
    expect(await histories.publish("room", "2", "id")).to.deep.equal({ at: atOf(1), isRepeated: true });
    expect(kept[0]?.entry).to.deep.equal({ json: "1", id: "id", except: "sid" });
    expect(kept[0]?.names.log).to.equal(historyNames("shop:", "room").log);
    expect(published.map(({ json, except }) => [json, except])).to.deep.equal([["1", "sid"]]);
  });

  it("know a channel's position for a day, or as long as its messages, or as it is said", async () => {
    const boundsOf = async (option: ChannelHistory) => {
      options.room = option;
      kept = [];
      await publish(1);
      expect(histories.reader("room")?.bounds).to.deep.equal(kept[0]?.bounds);
      return kept[0]?.bounds;
    };
    expect(await boundsOf(OPTION)).to.deep.equal({ ...OPTION, positionTtl: DAY });
    expect(await boundsOf({ ...OPTION, ttl: 2 * DAY })).to.deep.include({ positionTtl: 2 * DAY });
    expect(await boundsOf({ ...OPTION, positionTtl: 90_000 })).to.deep.include({ positionTtl: 90_000 });
  });

  it("are read from the newest message back, a hundred at once where nothing is said", async () => {
    await publish(DEFAULT_LAST + 1);
    const [messages, others] = await messagesOf({});
    expect(messages).to.deep.equal(Array.from({ length: 100 }, (_, index) => index + 2));
    expect(others).to.deep.equal({ at: atOf(101), more: true });
    expect(await messagesOf({ last: 2 })).to.deep.equal([[100, 101], { at: atOf(101), more: true }]);
    expect(await messagesOf({ last: 101 })).to.deep.equal([
      Array.from({ length: 101 }, (_, index) => index + 1),
      { at: atOf(101) },
    ]);
    expect(await messagesOf({ before: atOf(3) })).to.deep.equal([[1, 2], { at: atOf(101) }]);
    expect(await messagesOf({ before: atOf(3), last: 1 })).to.deep.equal([
      [2],
      { at: atOf(101), more: true },
    ]);
    const [message] = (await histories.read("room", { last: 1 })).messages;
    expect(message).to.deep.equal({ message: 101, at: atOf(101), time: published.at(-1)?.time });
  });

  it("are read from a position on, as many as a recovery brings where nothing is said", async () => {
    await publish(5);
    expect(await messagesOf({ since: atOf(1) })).to.deep.equal([[2, 3, 4], { at: atOf(4), more: true }]);
    expect(await messagesOf({ since: atOf(1), limit: 1 })).to.deep.equal([[2], { at: atOf(2), more: true }]);
    expect(await messagesOf({ since: atOf(1), limit: 9 })).to.deep.equal([[2, 3, 4, 5], { at: atOf(5) }]);
    expect(await messagesOf({ since: atOf(5) })).to.deep.equal([[], { at: atOf(5) }]);
  });

  it("say what is lost, and count it once where it is read in parts", async () => {
    await publish(2);
    const since = atOf(1);
    options.room = { ...OPTION, size: 2 };
    await publish(4);
    expect(await messagesOf({ since })).to.deep.equal([
      [3, 4],
      { at: atOf(6), lost: { messages: 3, reason: "trimmed" } },
    ]);
  });

  it("are read in several parts where their messages are long", async () => {
    // three of them fill an answer
    await publish(7, (n) => JSON.stringify(String(n).padEnd(400_000)));
    const numbersOf = async (given: HistoryOptions) => {
      read = [];
      const { messages, at, more } = await histories.read("room", given);
      const numbers = messages.map(({ message }) => Number.parseInt(String(message), 10));
      return [numbers, parsePosition(at)?.offset, more === true, read.length];
    };
    expect(await numbersOf({ last: 7 })).to.deep.equal([[1, 2, 3, 4, 5, 6, 7], 7, false, 3]);
    expect(await numbersOf({ last: 100 })).to.deep.equal([[1, 2, 3, 4, 5, 6, 7], 7, false, 3]);
    expect(await numbersOf({ last: 5 })).to.deep.equal([[3, 4, 5, 6, 7], 7, true, 2]);
    expect(await numbersOf({ last: 5, before: atOf(7) })).to.deep.equal([[2, 3, 4, 5, 6], 7, true, 2]);
    const [numbers, at, more] = await numbersOf({ since: atOf(1), limit: 5 });
    expect([numbers, at, more]).to.deep.equal([[2, 3, 4, 5, 6], 6, true]);
  });

  it("say the newest position of the first part, whatever is published meanwhile", async () => {
    await publish(4, (n) => JSON.stringify(String(n).padEnd(600_000)));
    const reading = histories.read("room", { last: 4 });
    await publish(1);
    expect((await reading).at).to.equal(atOf(4));
  });

  it("end where what is left expires while it is read in parts", async () => {
    await publish(4, (n) => JSON.stringify(String(n).padEnd(600_000)));
    const reading = histories.read("room", { last: 4 });
    // by another server's bounds
    logs.keep(
      historyNames("shop:", "room"),
      { size: 1, ttl: 60_000, positionTtl: DAY },
      { json: "5" },
      () => {},
    );
    const { messages } = await reading;
    expect(messages.map(({ message }) => Number.parseInt(String(message), 10))).to.deep.equal([3, 4]);
  });

  for (const [what, given, why] of [
    ["an unknown option", { first: 1 }, "options.first is no option of history()"],
    [
      "a position that is none",
      { since: "5" },
      "options.since must be a position, as publish() and messages have it",
    ],
    [
      "a place before which to read that is none",
      { before: 5 },
      "options.before must be a position, as publish() and messages have it",
    ],
    ["both directions", { since: "e.1.1", before: "e.2.2" }, "options.since goes with options.limit alone"],
    [
      "a number of the newest from a position on",
      { since: "e.1.1", last: 1 },
      "options.since goes with options.limit alone",
    ],
    ["no message", { last: 0 }, "options.last must be a positive whole number of messages"],
    ["half a message", { last: 1.5 }, "options.last must be a positive whole number of messages"],
    [
      "a number that is a text",
      { since: "e.1.1", limit: "1" },
      "options.limit must be a positive whole number of messages",
    ],
    [
      "less than no message",
      { since: "e.1.1", limit: -1 },
      "options.limit must be a positive whole number of messages",
    ],
  ] as const) {
    it(`refuse ${what}`, async () => {
      const error = await errorOf(histories.read("room", given as HistoryOptions));
      expect(error).to.be.an.instanceOf(TypeError);
      expect(error.message).to.equal(why);
      expect(read).to.deep.equal([]);
    });
  }

  it("follow a channel from when it is opened until it is closed", async () => {
    const live = histories.open("room");
    expect(histories.live("room")).to.equal(live);
    await live?.open();
    await publish(2);
    for (const entry of published) live?.receive(entry);
    expect(told).to.deep.equal([
      ["room", "1"],
      ["room", "2"],
    ]);
    expect(read.map(({ query }) => query)).to.deep.equal([{ count: 0, bytes: 0 }]);
    histories.close("room");
    expect(histories.live("room")).to.equal(undefined);
    // it is looked for nothing any more
    read = [];
    histories.catchUp();
    live?.repair();
    await new Promise((resolve) => setImmediate(resolve));
    expect(read).to.deep.equal([]);
  });

  it("look for what was missed when they are asked to, and say why they cannot", async () => {
    const live = histories.open("room");
    await live?.open();
    await publish(1);
    histories.catchUp();
    while (told.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(told).to.deep.equal([["room", "1"]]);
    failure = new Error("Redis is away");
    histories.catchUp();
    while (errors.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(errors).to.deep.equal([failure]);
  });

  it("tell of what is lost, by the channel", async () => {
    options.room = { ...OPTION, size: 1 };
    await histories.open("room")?.open();
    await publish(3);
    histories.catchUp();
    while (told.length < 2) await new Promise((resolve) => setImmediate(resolve));
    expect(told).to.deep.equal([
      ["room", { messages: 2, reason: "trimmed" }, 2],
      ["room", "3"],
    ]);
  });

  it("look each half a minute, and no more once they are shut down", async () => {
    const clock = sinon.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
    options.hall = OPTION;
    for (const channel of ["room", "hall"]) await histories.open(channel)?.open();
    read = [];
    await clock.tickAsync(30_000);
    expect(read).to.have.length(2);
    histories.shutdown();
    expect([histories.live("room"), histories.live("hall")]).to.deep.equal([undefined, undefined]);
    await clock.tickAsync(60_000);
    expect(read).to.have.length(2);
  });
});
