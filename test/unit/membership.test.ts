import { expect } from "chai";
import { Memberships, type Subscriber } from "../../lib/server/channels/membership.js";
import type { IdentityUsage } from "../../lib/server/limits/identity-usage.js";

const CHANNELS_PER_SOCKET = 3;

describe("memberships of channels", () => {
  let memberships: Memberships<Subscriber>;

  beforeEach(() => {
    memberships = new Memberships(CHANNELS_PER_SOCKET);
  });

  it("are kept in both directions, as long as a channel has a member", () => {
    const [one, other] = [subscriber(), subscriber()];
    memberships.add(one, "a", true);
    memberships.add(other, "a", false);
    memberships.add(one, "__proto__", true);
    expect(memberships.channels()).to.deep.equal(["a", "__proto__"]);
    expect([...memberships.members("a")]).to.deep.equal([one, other]);
    expect(Object.keys(one.channels)).to.deep.equal(["a", "__proto__"]);
    memberships.remove(one, "__proto__");
    memberships.remove(one, "a");
    expect([...memberships.members("a")]).to.deep.equal([other]);
    expect(memberships.has(one, "a")).to.equal(false);
    memberships.remove(other, "a");
    expect(memberships.channels()).to.deep.equal([]);
  });

  it("are the client's own until the server joins it, too", () => {
    const usage = { channels: 0, hasRoom: true };
    const one = subscriber(usage);
    memberships.add(one, "a", true);
    expect(memberships.hasRequested(one, "a")).to.equal(true);
    expect(usage.channels).to.equal(1);
    for (const isRequested of [false, false, true]) {
      memberships.add(one, "a", isRequested);
      expect(memberships.hasRequested(one, "a")).to.equal(false);
      expect(usage.channels).to.equal(0);
    }
    memberships.remove(one, "a");
    memberships.add(one, "a", true);
    expect(memberships.hasRequested(one, "a")).to.equal(true);
    memberships.remove(one, "a");
    expect(usage.channels).to.equal(0);
  });

  it("are reserved within the limits of the socket and of its identity", () => {
    const usage = { channels: 0, hasRoom: true };
    const one = subscriber(usage);
    memberships.add(one, "a", true);
    memberships.add(one, "b", false);
    expect(memberships.reserve(one)).to.equal(true);
    expect(usage.channels).to.equal(2);
    expect(memberships.reserve(one)).to.equal(false);
    memberships.release(one);
    expect(usage.channels).to.equal(1);
    usage.hasRoom = false;
    expect(memberships.reserve(one)).to.equal(false);
    expect(usage.channels).to.equal(1);
  });

  it("make room when they end, as reservations do, and never take any where the server has made them", () => {
    const usage = { channels: 0, hasRoom: true };
    const one = subscriber(usage);
    // an identity whose usage nobody counts
    const another = subscriber();
    for (const member of [one, another]) {
      for (let round = 0; round < 2; round++) {
        for (const channel of ["a", "b", "c"]) memberships.add(member, channel, channel !== "c");
        expect(memberships.reserve(member)).to.equal(false);
        for (const channel of ["a", "b", "c"]) memberships.remove(member, channel);
        for (let count = 0; count < CHANNELS_PER_SOCKET; count++) {
          expect(memberships.reserve(member)).to.equal(true);
        }
        expect(memberships.reserve(member)).to.equal(false);
        for (let count = 0; count < CHANNELS_PER_SOCKET; count++) memberships.release(member);
        expect(usage.channels).to.equal(0);
      }
    }
  });

  it("begin at a time of their own, which ends with them", () => {
    const one = subscriber();
    memberships.add(one, "a", true);
    memberships.setFrom(one, "a", undefined);
    expect(one.membership?.from?.get("a")).to.equal(undefined);
    for (const channel of ["a", "b"]) memberships.setFrom(one, channel, 5);
    expect([...(one.membership?.from ?? [])]).to.deep.equal([
      ["a", 5],
      ["b", 5],
    ]);
    memberships.setFrom(one, "b", undefined);
    memberships.remove(one, "a");
    expect([...(one.membership?.from ?? [])]).to.deep.equal([]);
  });

  it("of one connection and channel change one after another, and others meanwhile", async () => {
    const [one, other] = [subscriber(), subscriber()];
    const done: string[] = [];
    let end = () => {};
    const first = memberships.run(one, "a", () => new Promise<void>((resolve) => (end = resolve)));
    const second = memberships.run(one, "a", () => done.push("second"));
    expect(memberships.run(one, "b", () => "at once")).to.equal("at once");
    expect(memberships.run(other, "a", () => "at once")).to.equal("at once");
    end();
    await first;
    await second;
    expect(done).to.deep.equal(["second"]);
  });

  it("have the guards decide again on the joins that are overruled, and on no others", () => {
    const [one, other] = [subscriber(), subscriber()];
    const joins = [one, other].map((member) => memberships.beginJoin(member, "a", true));
    const elsewhere = memberships.beginJoin(one, "b", true);
    const overruled = () => [...joins, elsewhere].map(({ isOverruled }) => isOverruled);
    memberships.overrule("a", other);
    expect(overruled()).to.deep.equal([false, true, false]);
    memberships.overrule("a");
    expect(overruled()).to.deep.equal([true, true, false]);
    for (const join of joins) join.isOverruled = false;
    const [first, second] = joins;
    if (first) memberships.endJoin(first);
    memberships.overrule("a");
    expect(overruled()).to.deep.equal([false, true, false]);
    if (second) memberships.endJoin(second);
    for (const join of joins) join.isOverruled = false;
    memberships.overrule("a");
    expect(overruled()).to.deep.equal([false, false, false]);
  });

  it("are to be of those that have joined, and of those that only Redis keeps waiting", () => {
    const [one, asked, decided] = [subscriber(), subscriber(), subscriber()];
    memberships.add(one, "a", true);
    memberships.beginJoin(asked, "a", true);
    const join = memberships.beginJoin(decided, "a", false);
    expect(memberships.membersToBe("a")).to.deep.equal([one, decided]);
    memberships.endJoin(join);
    expect(memberships.membersToBe("a")).to.deep.equal([one]);
    expect(memberships.membersToBe("b")).to.deep.equal([]);
  });
});

function subscriber(usage?: { channels: number; hasRoom: boolean }): Subscriber {
  return {
    socket: {} as Subscriber["socket"],
    protocol: 4,
    closed: false,
    channels: Object.create(null) as Record<string, true>,
    membership: undefined,
    usage: usage as IdentityUsage | undefined,
    wantsHistory: false,
    isDismissed: false,
    takePosition: () => undefined,
    whenDrained: () => undefined,
    send() {},
  };
}
