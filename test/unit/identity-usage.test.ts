import { expect } from "chai";
import type { IdentityRates } from "../../lib/server/limits/identity-rate.js";
import { IdentityUsage } from "../../lib/server/limits/identity-usage.js";

describe("what an identity may send", () => {
  /** A rate that never fills again. */
  class Rate {
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
  }

  const open = (frames: number, bytes: number) => {
    const rates = { frames: new Rate(frames), bytes: new Rate(bytes) };
    const ratesOf = (rate: Rate) => ({ of: () => rate }) as unknown as IdentityRates;
    const usage = new IdentityUsage("alice", 1, {
      frames: ratesOf(rates.frames),
      bytes: ratesOf(rates.bytes),
    });
    return { usage, left: () => [rates.frames.left, rates.bytes.left] };
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
});
