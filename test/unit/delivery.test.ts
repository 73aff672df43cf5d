import { expect } from "chai";
import { ByChannel } from "../../lib/server/channels/by-channel.js";
import { Delivery } from "../../lib/server/channels/delivery.js";
import { Membership, type Subscriber } from "../../lib/server/channels/membership.js";
import { type SlowReaderPolicy, SlowReaders } from "../../lib/server/channels/slow-readers.js";
import { Reporter } from "../../lib/server/log/reporter.js";
import type { Entry } from "../../lib/server/redis/history-log.js";
import type { Droppable } from "../../lib/server/transport/send-queue.js";
import { reported } from "../support/condition.js";

type Sent = [frame: string, droppable: Droppable | undefined];

/** A socket that keeps what it is sent. */
class Reader {
  readonly sent: Sent[] = [];
  readonly socket: { readonly sid: string };
  readonly wantsHistory: boolean;
  membership: Membership | undefined;

  constructor(sid: string, wantsHistory = false) {
    this.socket = { sid };
    this.wantsHistory = wantsHistory;
  }

  send(...sent: Sent): void {
    this.sent.push(sent);
  }

  get frames(): string[] {
    return this.sent.map(([frame]) => frame);
  }
}

const ENTRY: Entry = {
  position: { epoch: "e", offset: 7, tag: "1" },
  before: "0",
  time: 100,
  json: '{"n":1}',
};
const PLAIN = '{"channel":"room","message":{"n":1}}';
const KEPT = '{"channel":"room","message":{"n":1},"at":"e.7.1","time":100}';

/** What a filter gives of a message, by what is to be shown. */
const FILTERS = {
  "no filter": undefined,
  "a filter": (_socket: unknown, _channel: string, message: unknown) => message,
};

describe("the delivery of a message", () => {
  let errors: [message: string, context: string][];
  let losses: unknown[][];

  const deliveryWith = (filter?: (...args: never[]) => unknown, policy?: SlowReaderPolicy) => {
    errors = [];
    losses = [];
    const reporter = new Reporter({ error() {}, warn() {}, info() {} }, false, ({ message }, context) => {
      errors.push([message, context]);
      return true;
    });
    return new Delivery<unknown>({
      filter: filter as never,
      slowReaders: new SlowReaders(new ByChannel(policy ? { room: policy } : {}), reporter),
      reporter,
      onLost: (...loss) => losses.push(loss),
    });
  };
  const as = (reader: Reader) => reader as unknown as Subscriber<unknown>;
  const members = (...readers: Reader[]) => new Set(readers.map(as));

  for (const [name, filter] of Object.entries(FILTERS)) {
    describe(`with ${name}`, () => {
      it("is to all members but one", () => {
        const [one, other] = [new Reader("1"), new Reader("2")];
        const delivery = deliveryWith(filter);
        delivery.deliver(members(one, other), "room", ENTRY.json, "2");
        expect([one.frames, other.frames]).to.deep.equal([[PLAIN], []]);
        delivery.deliver(members(one, other), "room", ENTRY.json);
        expect([one.frames, other.frames]).to.deep.equal([[PLAIN, PLAIN], [PLAIN]]);
      });

      it("that is kept has its position for those who have asked for that", () => {
        const [one, other] = [new Reader("1", true), new Reader("2")];
        deliveryWith(filter).deliverKept(members(one, other), new Map(), "room", ENTRY);
        expect([one.frames, other.frames]).to.deep.equal([[KEPT], [PLAIN]]);
      });

      it("that is kept is not to those who are behind, nor to the one that it is not for", () => {
        const [one, behind, left] = [new Reader("1"), new Reader("2"), new Reader("3")];
        const delivery = deliveryWith(filter);
        const entry = { ...ENTRY, except: "3" };
        delivery.deliverKept(members(one, behind, left), new Map([[behind, 1]]), "room", entry);
        expect([one, behind, left].map(({ frames }) => frames.length)).to.deep.equal([1, 0, 0]);
        expect(delivery.deliverKeptTo(as(left), "room", entry)).to.equal(false);
        expect(delivery.deliverKeptTo(as(behind), "room", entry)).to.equal(true);
      });

      it("that is kept is to nobody who may have but what is younger", () => {
        const reader = new Reader("1");
        reader.membership = new Membership();
        reader.membership.from = new Map([
          ["room", 100],
          ["other", 200],
        ]);
        const delivery = deliveryWith(filter);
        const given = [99, 100, 101].map((time) =>
          delivery.deliverKeptTo(as(reader), "room", { ...ENTRY, time }),
        );
        expect(given).to.deep.equal([false, true, true]);
        expect(reader.frames).to.have.length(2);
        reader.membership.from = undefined;
        expect(delivery.deliverKeptTo(as(reader), "room", ENTRY)).to.equal(true);
      });

      it("says how it may be dropped, and has a reader told of it who has asked for positions", () => {
        const [one, other] = [new Reader("1", true), new Reader("2")];
        const delivery = deliveryWith(filter, "latest");
        delivery.deliverKept(members(one, other), new Map(), "room", ENTRY);
        delivery.deliver(members(one), "room", ENTRY.json);
        expect(delivery.deliverTo(as(one), "room", ENTRY.json)).to.equal(true);
        const loss = one.sent[0]?.[1]?.loss;
        expect(one.sent.map(([, droppable]) => droppable)).to.deep.equal([
          { key: "room", loss },
          { key: "room" },
          { key: "room" },
        ]);
        expect(other.sent).to.deep.equal([[PLAIN, { key: "room" }]]);
        expect(loss?.group).to.equal("room");
        const lost = { messages: 3, reason: "slow" };
        expect(JSON.parse(loss?.tell(3) ?? "")).to.deep.equal({ channel: "room", lost, at: "e.7.1" });
        expect(losses).to.deep.equal([[one, "room", lost]]);
      });

      it("may not be dropped where that was not asked for", () => {
        const reader = new Reader("1", true);
        deliveryWith(filter).deliverKept(members(reader), new Map(), "room", ENTRY);
        expect(reader.sent).to.deep.equal([[KEPT, undefined]]);
      });
    });
  }

  it("to nobody asks nobody for its key", () => {
    let asked = 0;
    deliveryWith(undefined, { latest: () => asked++ }).deliver(members(), "room", "1");
    expect(asked).to.equal(0);
  });

  it("is of what the filter leaves to each, and not made where that is nothing", () => {
    const [one, other] = [new Reader("1"), new Reader("2")];
    const delivery = deliveryWith(({ sid }: { sid: string }) => (sid === "1" ? { n: 2 } : null));
    delivery.deliver(members(one, other), "room", ENTRY.json);
    expect(one.frames).to.deep.equal(['{"channel":"room","message":{"n":2}}']);
    const given = [one, other].map((reader) => delivery.deliverTo(as(reader), "room", ENTRY.json));
    expect(given).to.deep.equal([true, false]);
    expect(other.frames).to.deep.equal([]);
    expect(delivery.filtered(as(one), "room", "1")).to.equal('{"n":2}');
    expect(delivery.filtered(as(other), "room", "1")).to.equal(undefined);
    expect(deliveryWith().filtered(as(other), "room", "1")).to.equal("1");
  });

  for (const [name, filter, message] of [
    [
      "fails",
      () => {
        throw new Error("broken");
      },
      "broken",
    ],
    [
      "promises",
      () => Promise.reject(new Error("nobody handles it")),
      "the filter must be synchronous; it returned a promise",
    ],
  ] as const) {
    it(`is not made where the filter ${name}, which is reported`, async () => {
      const reader = new Reader("1");
      deliveryWith(filter).deliver(members(reader), "room", ENTRY.json);
      await reported();
      expect(errors).to.deep.equal([[message, 'the filter failed for a message on "room"']]);
      expect(reader.sent).to.deep.equal([]);
    });
  }
});
