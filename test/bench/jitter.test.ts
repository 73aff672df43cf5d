import { expect } from "chai";
import { Ledger, total } from "../../bench/jitter/ledger.js";
import { jitterPlot } from "../../bench/jitter/plot.js";
import { jitterMarkdown, jitterText, percent } from "../../bench/jitter/table.js";

/** The tally of a client that gets these numbers, of so many messages. */
function tallyOf(numbers: readonly number[], published: number) {
  const ledger = new Ledger();
  for (const [index, number] of numbers.entries()) ledger.receive(number, index);
  return ledger.tally(published);
}

describe("what the jitter test checks", () => {
  it("finds nothing where each message has come once, in order", () => {
    const { due, delivered, twice, disordered, silent, reported } = tallyOf([0, 1, 2, 3], 4);
    expect([due, delivered, twice, disordered, silent, reported]).to.deep.equal([4, 4, 0, 0, 0, 0]);
  });

  it("notices a message that is lost, also the first and the last one", () => {
    for (const numbers of [
      [1, 2, 3],
      [0, 2, 3],
      [0, 1, 2],
    ]) {
      const { delivered, silent, disordered } = tallyOf(numbers, 4);
      expect([delivered, silent, disordered]).to.deep.equal([3, 1, 0]);
    }
  });

  it("notices a message that comes twice, and counts it once as delivered", () => {
    const { delivered, twice, silent } = tallyOf([0, 1, 1, 2, 0, 3], 4);
    expect([delivered, twice, silent]).to.deep.equal([4, 2, 0]);
  });

  it("notices a message that comes behind a later one", () => {
    const { delivered, disordered, twice } = tallyOf([0, 2, 1, 3], 4);
    expect([delivered, disordered, twice]).to.deep.equal([4, 1, 0]);
  });

  it("takes a loss for silent unless the client was told of it", () => {
    const ledger = new Ledger();
    for (const number of [0, 3, 6]) ledger.receive(number, 0);
    expect(ledger.tally(7)).to.include({ silent: 4, reported: 0 });
    ledger.report(3, 4);
    expect(ledger.tally(7)).to.include({ silent: 1, reported: 3 });
  });

  it("takes a report without a number for one of all that was missing until then", () => {
    const ledger = new Ledger();
    for (const number of [0, 3, 6]) ledger.receive(number, 0);
    ledger.report(null, 4);
    expect(ledger.tally(7)).to.include({ silent: 2, reported: 2 });
  });

  it("shows a report of a loss that there was not", () => {
    const ledger = new Ledger();
    for (const number of [0, 1]) ledger.receive(number, 0);
    ledger.report(5, 2);
    expect(ledger.tally(2)).to.include({ silent: 0, reported: 5 });
  });

  it("measures from the mending of a line until its client has all that was published meanwhile", () => {
    const ledger = new Ledger();
    ledger.receive(0, 0);
    ledger.mend(1, 3, 1000);
    for (const [number, at] of [
      [3, 1100],
      [1, 1200],
      [2, 1300],
    ] as const) {
      ledger.receive(number, at);
    }
    ledger.mend(4, 6, 2000);
    ledger.receive(5, 2100);
    ledger.mend(6, 6, 3000);
    const { cuts, catchUps } = ledger.tally(6);
    expect(cuts).to.equal(2);
    expect(catchUps).to.deep.equal([300]);
  });
});

describe("what the jitter test reports", () => {
  const tally = total([tallyOf([0, 1, 2, 3], 4), tallyOf([0, 1, 1], 4)]);

  it("adds up all clients", () => {
    expect(tally).to.include({ due: 8, delivered: 6, twice: 1, silent: 2 });
  });

  it("has a row for each contender, in a table for each row of the test", () => {
    const results = [
      { row: "cuts", contender: "history", tally },
      { row: "kill", contender: "socket.io", tally },
    ] as const;
    expect(jitterText(results)).to.match(/this library, with a history +75\.00 % +1 +0 +2 +0 /);
    const text = jitterMarkdown(results);
    expect(text).to.match(
      /\*\*Connections are cut\*\*[\s\S]*\| this library, with a history \| 75\.00 % \| 1 \|/,
    );
    expect(text).to.match(/a server is killed\*\*[\s\S]*\| Socket\.IO, Redis adapter \| 75\.00 % \|/);
  });

  it("draws a bar for each contender", () => {
    const drawn = jitterPlot([{ row: "kill", contender: "history", tally }]);
    expect(drawn).to.match(/^<svg [\s\S]*with a history<\/text>[\s\S]*75\.00 %[\s\S]*<\/svg>\n$/);
    expect(drawn).to.include('class="silent" x="715.0"');
  });

  it("never rounds up to all", () => {
    expect(percent(99_999, 100_000)).to.equal("99.99 %");
    expect(percent(100_000, 100_000)).to.equal("100 %");
  });
});
