import { expect } from "chai";
import { untilAnswered } from "../../lib/client/calls/repetition.js";
import { AbortedError, DisconnectedError, RemoteError, TimeoutError } from "../../lib/client/index.js";
import { failure } from "./support.js";

const LOST = new DisconnectedError(true);

/** Answers one after the other; an error is a rejection. */
function answers(...all: unknown[]): (() => Promise<unknown>) & { readonly left: unknown[] } {
  const ask = async () => {
    const answer = all.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return Object.assign(ask, { left: all });
}

describe("A client's request that may be made again", () => {
  it("is made until it is answered, as long as it is lost with its connection", async () => {
    const ask = answers(LOST, LOST, "answer", "more");
    expect(await untilAnswered(ask)).to.equal("answer");
    expect(ask.left).to.deep.equal(["more"]);
  });

  it("is made once where it was not sent, or has failed otherwise", async () => {
    for (const error of [
      new DisconnectedError(),
      new RemoteError("No"),
      new TimeoutError(5),
      new Error("Odd"),
    ]) {
      const ask = answers(error, "more");
      expect(await failure(untilAnswered(ask))).to.equal(error);
      expect(ask.left).to.deep.equal(["more"]);
    }
  });

  it("is made once where it would do harm to make it again", async () => {
    const ask = answers(LOST, "more");
    expect(await failure(untilAnswered(ask, () => false))).to.equal(LOST);
    expect(ask.left).to.deep.equal(["more"]);
  });

  it("that was lost once may have been carried out, whatever keeps it from being made again", async () => {
    const noHistory = new RemoteError({ message: "No history", code: "no_history" });
    for (const error of [new DisconnectedError(), new TimeoutError(5), new TypeError("Odd"), noHistory]) {
      expect(await failure(untilAnswered(answers(LOST, error))), String(error)).to.equal(LOST);
    }
    // before that it says itself what it is
    expect(await failure(untilAnswered(answers(noHistory)))).to.equal(noHistory);
  });

  it("that was lost once fails with what the server answers then, and as its caller gives it up", async () => {
    const forbidden = new RemoteError({ message: "Forbidden", code: "forbidden" });
    for (const error of [forbidden, new RemoteError("No"), new AbortedError("enough")]) {
      expect(await failure(untilAnswered(answers(LOST, error))), String(error)).to.equal(error);
    }
  });
});
