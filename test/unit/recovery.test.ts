import { expect } from "chai";
import type { LiveChannel } from "../../lib/server/history/live-channel.js";
import type { HistoryPart, PartBounds } from "../../lib/server/history/log-reader.js";
import type { Loss } from "../../lib/server/history/loss.js";
import { PAGES, type Recovered, recover } from "../../lib/server/history/recovery.js";
import { TurnScheduler } from "../../lib/server/limits/turn-scheduler.js";
import type { Entry } from "../../lib/server/redis/history-log.js";
import { formatPosition, type Position } from "../../lib/shared/position.js";
import type { Start } from "../../lib/shared/protocol.js";

const positionOf = (offset: number): Position => ({ epoch: "e", offset, tag: `${offset}` });

const entryOf = (offset: number): Entry => ({
  position: positionOf(offset),
  before: `${offset - 1}`,
  time: 0,
  json: String(offset),
});

/** A part with the messages of these offsets, which goes up to an offset. */
const partOf = (offsets: readonly number[], at: number, more: Partial<HistoryPart> = {}): HistoryPart => ({
  entries: offsets.map(entryOf),
  at: positionOf(at),
  lost: undefined,
  hasMore: false,
  ...more,
});

const expired = (messages: number): Loss => ({ messages, reason: "expired" });

/** A member that recovers on a channel that gives it the parts that the test has made. */
class Scene {
  at: Position | undefined = positionOf(5);
  readonly behind = new Map<object, object>();
  readonly parts: HistoryPart[] = [];
  /** What the channel was asked for. */
  readonly asked: unknown[] = [];
  readonly told: unknown[] = [];
  readonly member = { closed: false, whenDrained: (): Promise<void> | undefined => undefined };
  /** Called before each part is given. */
  onRead: () => void = () => {};
  /** Messages that a filter withholds. */
  withheld: readonly number[] = [];
  result: Recovered | undefined;

  recover(start: Start, turns = new TurnScheduler(PAGES)): Promise<boolean> {
    const next = (): HistoryPart => {
      const part = this.parts.shift();
      this.onRead();
      if (!part) throw new Error("Redis is away");
      return part;
    };
    const channel = {
      behind: this.behind,
      position: async () => this.at,
      newest: async (count: number, bounds: PartBounds) => {
        this.asked.push({ newest: count, ...bounds });
        return next();
      },
      after: async ({ offset }: Position, bounds: PartBounds) => {
        this.asked.push({ after: offset, ...bounds });
        return next();
      },
    };
    // the position goes on while the member recovers
    Object.defineProperty(channel, "at", { get: () => this.at });
    return recover(channel as unknown as LiveChannel, this.member, start, turns, 50, {
      send: ({ json }) => {
        if (this.withheld.includes(Number(json))) return false;
        this.told.push(Number(json));
        return true;
      },
      lose: (loss, at) => this.told.push({ ...loss, at: at.offset }),
      done: (result) => {
        expect(this.behind.has(this.member)).to.equal(true);
        this.result = result;
        this.told.push("done");
      },
    });
  }
}

describe("A member that recovers", () => {
  const page = { count: 100, bytes: 65_536 };
  let scene: Scene;

  beforeEach(() => {
    scene = new Scene();
  });

  it("is there at once where it wants what comes from now on, or has missed nothing", async () => {
    for (const start of ["now", { since: positionOf(5) }] as const) {
      expect(await scene.recover(start)).to.equal(true);
      expect(scene.result).to.deep.equal({ at: formatPosition(positionOf(5)), recovered: 0 });
    }
    expect([scene.asked, scene.told]).to.deep.equal([[], ["done", "done"]]);
  });

  it("gets page after page up to where the channel is by then", async () => {
    scene.parts.push(partOf([3, 4], 4, { hasMore: true }), partOf([5, 6], 6));
    scene.onRead = () => {
      scene.at = positionOf(6);
    };
    expect(await scene.recover({ since: positionOf(2) })).to.equal(true);
    expect(scene.told).to.deep.equal([3, 4, 5, 6, "done"]);
    expect(scene.asked).to.deep.equal([
      { after: 2, ...page, most: 50 },
      { after: 4, ...page, most: 50 },
    ]);
    expect(scene.result).to.deep.equal({ at: formatPosition(positionOf(6)), recovered: 4 });
    expect(scene.behind.size).to.equal(0);
  });

  it("gets the newest messages where it asks for them, and then what comes after them", async () => {
    scene.parts.push(partOf([4], 4, { hasMore: true }), partOf([5], 5));
    expect(await scene.recover({ last: 2 })).to.equal(true);
    expect(scene.asked).to.deep.equal([
      { newest: 2, ...page },
      { after: 4, ...page, most: 50 },
    ]);
    expect(scene.told).to.deep.equal([4, 5, "done"]);
  });

  it("is told of what a filter has left it", async () => {
    scene.parts.push(partOf([3, 4, 5], 5));
    scene.withheld = [4];
    await scene.recover({ since: positionOf(2) });
    expect(scene.told).to.deep.equal([3, 5, "done"]);
    expect(scene.result?.recovered).to.equal(2);
  });

  it("is told of a loss before the messages behind it, and of the sum at the end", async () => {
    scene.parts.push(
      partOf([3], 3, { lost: expired(2), hasMore: true }),
      partOf([5], 5, { lost: { messages: 1, reason: "trimmed" } }),
    );
    await scene.recover({ since: positionOf(0) });
    expect(scene.told).to.deep.equal([
      { ...expired(2), at: 2 },
      3,
      { messages: 1, reason: "trimmed", at: 4 },
      5,
      "done",
    ]);
    expect(scene.result).to.deep.include({ recovered: 2, lost: expired(3) });
  });

  it("is told once of a loss that several pages have found, at the first message behind it", async () => {
    scene.parts.push(
      partOf([], 2, { lost: expired(2), hasMore: true }),
      partOf([], 4, { lost: expired(2), hasMore: true }),
      partOf([5], 5),
    );
    await scene.recover({ since: positionOf(0) });
    expect(scene.told).to.deep.equal([{ ...expired(4), at: 4 }, 5, "done"]);
  });

  it("is told of a loss behind which there is nothing, and from where it goes on", async () => {
    scene.parts.push(partOf([], 5, { lost: expired(5) }));
    await scene.recover({ since: positionOf(0) });
    expect(scene.told).to.deep.equal([{ ...expired(5), at: 5 }, "done"]);
    // the channel has come there though the page has said that there is more
    scene.parts.push(partOf([], 5, { lost: expired(3), hasMore: true }));
    await scene.recover({ since: positionOf(2) });
    expect(scene.told.slice(2)).to.deep.equal([{ ...expired(3), at: 5 }, "done"]);
    expect(scene.result?.lost).to.deep.equal(expired(3));
  });

  it("is behind until it is there, and gets nothing live before", async () => {
    scene.parts.push(partOf([5], 5));
    const seen: boolean[] = [];
    scene.onRead = () => seen.push(scene.behind.has(scene.member));
    const recovering = scene.recover({ since: positionOf(4) });
    seen.push(scene.behind.has(scene.member));
    await recovering;
    seen.push(scene.behind.has(scene.member));
    expect(seen).to.deep.equal([true, true, false]);
  });

  it("gets the next page only when its client has taken most of the last one", async () => {
    scene.parts.push(partOf([3], 3, { hasMore: true }), partOf([5], 5));
    let drain = () => {};
    const reachedDrain = new Promise<void>((reached) => {
      scene.member.whenDrained = () => {
        reached();
        return new Promise((resolve) => {
          drain = resolve;
        });
      };
    });
    const recovering = scene.recover({ since: positionOf(2) });
    await reachedDrain;
    await new Promise((resolve) => setImmediate(resolve));
    expect(scene.asked).to.have.length(1);
    scene.member.whenDrained = () => undefined;
    drain();
    expect(await recovering).to.equal(true);
    expect(scene.told).to.deep.equal([3, 5, "done"]);
  });

  it("waits for its turn before each page", async () => {
    scene.parts.push(partOf([3], 3, { hasMore: true }), partOf([5], 5));
    const turns = new TurnScheduler(1);
    // somebody else has the present one
    turns.take();
    const recovering = scene.recover({ since: positionOf(2) }, turns);
    await Promise.resolve();
    expect(scene.asked).to.deep.equal([]);
    await recovering;
    expect(scene.told).to.deep.equal([3, 5, "done"]);
  });

  for (const [how, stop] of [
    ["has closed", () => (scene.member.closed = true)],
    ["has left", () => scene.behind.delete(scene.member)],
    ["has begun anew", () => scene.behind.set(scene.member, {})],
  ] as const) {
    it(`gets nothing more once it ${how}, and is not said to be there`, async () => {
      scene.parts.push(partOf([3], 3, { hasMore: true }), partOf([5], 5));
      scene.onRead = stop;
      expect(await scene.recover({ since: positionOf(2) })).to.equal(false);
      expect(scene.told).to.deep.equal([]);
      // another recovery of it may be under way
      expect(scene.behind.size).to.equal(how === "has begun anew" ? 1 : 0);
    });

    it(`reads no further page where it ${how} while its client takes the last one`, async () => {
      scene.parts.push(partOf([3], 3, { hasMore: true }), partOf([5], 5));
      scene.member.whenDrained = async () => void stop();
      expect(await scene.recover({ since: positionOf(2) })).to.equal(false);
      expect([scene.told, scene.asked.length]).to.deep.equal([[3], 1]);
      scene.member.closed = false;
    });
  }

  it("goes on live where Redis cannot be read, which is said", async () => {
    const [outcome] = await Promise.allSettled([scene.recover({ since: positionOf(2) })]);
    expect(outcome).to.have.nested.property("reason.message", "Redis is away");
    expect([scene.behind.size, scene.told]).to.deep.equal([0, []]);
  });
});
