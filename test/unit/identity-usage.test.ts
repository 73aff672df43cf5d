import { expect } from "chai";
import type { IdentityRates } from "../../lib/server/limits/identity-rate.js";
import { IdentityUsage, IdentityUsages } from "../../lib/server/limits/identity-usage.js";
import { DEFAULT_LIMITS } from "../../lib/server/limits/limits.js";

describe("what an identity may send", () => {
  /** A rate that never fills again. */
  class Rate {
    readonly waiting: (() => void)[] = [];
    isClosed = false;

    constructor(public left: number) {}

    take(amount: number): boolean {
      if (this.left < 1) return false;
      this.left -= amount;
      return true;
    }

    charge(amount: number): void {
      this.left -= amount;
    }

    giveBack(amount: number): void {
      this.left += amount;
    }

    get hasMore(): boolean {
      return this.left >= 1;
    }

    onRefill(listener: () => void): () => void {
      this.waiting.push(listener);
      return () => this.waiting.splice(this.waiting.indexOf(listener), 1);
    }

    close(): void {
      this.isClosed = true;
    }
  }

  const open = (frames: number, bytes: number) => {
    const rates = { frames: new Rate(frames), bytes: new Rate(bytes) };
    const ratesOf = (rate: Rate) => ({ of: () => rate }) as unknown as IdentityRates;
    const usage = new IdentityUsage("alice", 1, {
      frames: ratesOf(rates.frames),
      bytes: ratesOf(rates.bytes),
    });
    return { usage, rates, left: () => [rates.frames.left, rates.bytes.left] };
  };

  it("loses no frame to one for which there are bytes too few, and no bytes to one frame too many", () => {
    const { usage, left } = open(5, 100);
    expect(usage.take(150)).to.equal(true);
    for (let i = 0; i < 10; i++) expect(usage.take(1)).to.equal(false);
    expect(left()).to.deep.equal([4, -50]);
    const other = open(0, 100);
    expect(other.usage.take(10)).to.equal(false);
    expect(other.left()).to.deep.equal([0, 100]);
  });

  it("owes for frames that cannot wait", () => {
    const { usage, left } = open(1, 100);
    usage.charge(3);
    expect(left()).to.deep.equal([-2, 100]);
  });

  it("is waited for where it is short: at its frames, or else at its bytes", () => {
    for (const [frames, bytes, short] of [
      [0, 100, "frames"],
      [0, 0, "frames"],
      [5, 0, "bytes"],
    ] as const) {
      const { usage, rates } = open(frames, bytes);
      const stop = usage.onRefill(() => {});
      const other = short === "frames" ? "bytes" : "frames";
      expect([rates[short].waiting.length, rates[other].waiting.length]).to.deep.equal([1, 0]);
      stop();
      expect(rates[short].waiting).to.deep.equal([]);
    }
  });

  it("may be all where there are no limits", () => {
    const usage = new IdentityUsage("alice", 1, { frames: undefined, bytes: undefined });
    expect(usage.take(1e9)).to.equal(true);
    usage.charge(1);
    usage.onRefill(() => expect.fail("nothing is short"))();
    usage.close();
  });

  it("waits for bytes alone where frames have no limit", () => {
    const bytes = new Rate(10);
    const usage = new IdentityUsage("alice", 1, {
      frames: undefined,
      bytes: { of: () => bytes } as unknown as IdentityRates,
    });
    expect([usage.take(20), usage.take(1)]).to.deep.equal([true, false]);
    usage.onRefill(() => {});
    expect(bytes.waiting).to.have.length(1);
  });

  it("is the same for all of its connections, of which there are as many as may be", () => {
    const rates: Rate[] = [];
    const of = () => {
      const rate = new Rate(1);
      rates.push(rate);
      return rate;
    };
    const usages = new IdentityUsages(
      { ...DEFAULT_LIMITS, connectionsPerIdentity: 2, channelsPerIdentity: 1 },
      { frames: { of } as unknown as IdentityRates, bytes: undefined },
    );
    const alice = usages.enter("alice");
    expect(alice?.hasRoom).to.equal(true);
    if (alice) alice.channels++;
    expect(alice?.hasRoom).to.equal(false);
    expect(usages.enter("alice")).to.equal(alice);
    expect(usages.enter("alice")).to.equal(undefined);
    expect(usages.enter("bob")).to.not.equal(alice);
    if (alice) usages.leave(alice);
    expect(rates[0]?.isClosed).to.equal(false);
    expect(usages.enter("alice")).to.equal(alice);
    if (alice) for (let connection = 0; connection < 2; connection++) usages.leave(alice);
    expect(rates.map(({ isClosed }) => isClosed)).to.deep.equal([true, false]);
    const next = usages.enter("alice");
    expect([next === alice, next?.hasRoom]).to.deep.equal([false, true]);
  });

  it("has room for channels below its limit, and counts no more when it is closed", () => {
    const { usage, rates } = open(1, 1);
    expect(usage.hasRoom).to.equal(true);
    usage.channels++;
    expect(usage.hasRoom).to.equal(false);
    usage.close();
    expect([rates.frames.isClosed, rates.bytes.isClosed]).to.deep.equal([true, true]);
  });
});
