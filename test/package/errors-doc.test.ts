import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import * as client from "../../lib/client/index.js";
import { remoteError } from "../../lib/shared/call-errors.js";
import * as refusals from "../../lib/shared/refusals.js";
import { ROOT } from "./installed-package.js";
import { codeOf, tablesUnder } from "./markdown.js";

const DOCUMENT = readFileSync(join(ROOT, "docs/errors.md"), "utf8");

const [REMOTE = [], OWN = []] = tablesUnder(DOCUMENT, "Codes");

describe("docs/errors.md", () => {
  it("has each refusal, with its message and its class", () => {
    const documented = REMOTE.filter(([code]) => code !== "yours").map(([code, message, type]) => ({
      code: codeOf(code),
      message,
      type: codeOf(type),
    }));
    const all = Object.values(refusals).filter((value) => value instanceof refusals.Refusal);
    expect(documented).to.have.deep.members(
      all.map(({ code, message }) => ({ code, message, type: remoteError({ message, code }).name })),
    );
  });

  it("has after which time to try again, for each refusal that time helps", () => {
    const told = Object.values(refusals)
      .filter((value) => value instanceof refusals.Refusal)
      .filter(({ retryAfter }) => retryAfter !== undefined)
      .map(({ code, retryAfter }) => `of \`${code}\` ${retryAfter}`);
    expect(DOCUMENT).to.include(`${told.join(", ")}, else undefined`);
    expect(remoteError({ ...refusals.BUSY })).to.have.property("retryAfter", 1000);
    expect(remoteError(refusals.UNAVAILABLE.message)).to.have.property("retryAfter", 5000);
    expect(remoteError({ message: "No", retryAfter: "soon" })).to.have.property("retryAfter", undefined);
  });

  it("has each error of one's own side, with its class", () => {
    const errors = [
      new client.TimeoutError(1),
      new client.AbortedError(undefined),
      new client.DisconnectedError(),
      new client.UnauthorizedError(""),
      new client.QueueError("queue_full"),
      new client.QueueError("queue_expired"),
      new client.CallError("", "busy"),
      new client.CallError("", "too_large"),
      new client.OverflowError(1),
      new client.LostError({ messages: 1, reason: "slow" }),
      new client.CallError("", "no_history"),
      new client.NoTransportError(""),
      new client.ConnectionError(""),
    ];
    const documented = OWN.map(([code, type]) => ({ code: codeOf(code), type: codeOf(type) }));
    expect(documented).to.have.deep.members(errors.map(({ code, name }) => ({ code, type: name })));
  });

  it("has each class of the client", () => {
    const classes = Object.keys(client).filter((name) => name.endsWith("Error"));
    const text = readFileSync(join(ROOT, "docs/errors.md"), "utf8");
    for (const name of classes) expect(text).to.include(`\`${name}\``);
  });
});
