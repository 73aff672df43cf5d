import { expect } from "chai";
import type { Loss, MessageInfo } from "../../../lib/client/index.js";
import type { Published, Truth } from "./truth.js";

/** The number of messages that servers recover at most. */
export const MOST = 6;

/** A message's text, as it is published. */
export interface Payload {
  readonly n: number;
}

/** All that one client hears of one channel, to be compared with what was published. */
export class Ledger {
  readonly #name: string;
  readonly #truth: Truth;
  /** Says whether the client may get a message. */
  readonly #isAllowed: (n: number) => boolean;
  /** The client's position, as it says. */
  readonly #position: () => string | undefined;
  /** How many messages had been published when the client joined. */
  readonly #joined: number;
  /** What came, in order. */
  readonly #heard: (Loss | string)[] = [];
  readonly #seen = new Set<string>();
  readonly #problems: string[] = [];
  /** The position from which on all is accounted for. */
  #base: string;
  /** The number of messages that are told as lost since there. */
  #lost = 0;
  /** What has come since the client was last at rest. */
  #fresh: string[] = [];
  #losses: Loss[] = [];
  #resets: number;
  #rollbacks: number;
  /** Whether it was led into another history since the client was last at rest. */
  #isElsewhere = false;
  /** Whether anything has been in the way since the client was last at rest. */
  isImpaired = false;

  constructor(
    name: string,
    truth: Truth,
    base: string,
    isAllowed: (n: number) => boolean,
    position: () => string | undefined,
  ) {
    this.#name = name;
    this.#truth = truth;
    this.#base = base;
    this.#isAllowed = isAllowed;
    this.#position = position;
    this.#joined = truth.messages.size;
    this.#resets = truth.resets;
    this.#rollbacks = truth.rollbacks;
  }

  message({ n }: Payload, info: MessageInfo | undefined): void {
    const at = info?.at ?? "no position";
    this.#heard.push(`${n} at ${at}${info?.recovered ? " (recovered)" : ""}`);
    if (this.#seen.has(at)) this.#problems.push(`${n} has come twice, at ${at}`);
    this.#seen.add(at);
    this.#fresh.push(at);
    if (!this.#isAllowed(n)) this.#problems.push(`${n} has come, which is withheld`);
  }

  lost(loss: Loss): void {
    this.#heard.push(loss);
    this.#losses.push(loss);
    if (loss.messages === null) {
      const before = this.#base;
      this.#base = this.#position() ?? "";
      this.#isElsewhere ||= epochOf(before) !== epochOf(this.#base);
      this.#lost = 0;
    } else {
      this.#lost += loss.messages;
    }
  }

  /** Compares what has come with what was published, now that the client has come to rest at a position. */
  check(at: string): void {
    try {
      this.#check(at);
    } catch (error) {
      const heard = this.#heard.map((item) => JSON.stringify(item)).join("\n  ");
      const published = [...this.#truth.messages.values()].map(({ n, at }) => `${n} at ${at}`).join("\n  ");
      throw new Error(`${this.#name}: ${(error as Error).message}\n heard\n  ${heard}\n of\n  ${published}`, {
        cause: error,
      });
    }
  }

  #check(at: string): void {
    const { messages } = this.#truth;
    expect(this.#problems).to.deep.equal([]);
    for (const seen of this.#fresh) {
      if (!messages.has(seen)) throw new Error(`what came at ${seen} was not published there`);
    }
    const isMissing = (message: Published) => this.#isAllowed(message.n) && !this.#seen.has(message.at);
    const missing = [...messages.values()].slice(this.#joined).filter(isMissing);
    const inVain = missing.filter((message) => !this.#truth.mayBeMissed(message, MOST));
    expect(
      inVain.map(({ n }) => n),
      "messages that are there, and did not come",
    ).to.deep.equal([]);

    this.#account(at, isMissing);
    this.#checkReasons();
    if (!this.isImpaired && !this.#isElsewhere)
      expect(this.#losses, "losses though nothing was in the way").to.deep.equal([]);
    if (!this.#losses.some(({ messages }) => messages === null)) {
      const order = this.#fresh.map((seen) => messages.get(seen)?.index ?? 0);
      expect(order, "order").to.deep.equal([...order].sort((one, other) => one - other));
    }
    this.#rest(at);
  }

  /** Compares the number of what is said to be lost with what is missing between where it was at rest and where it is. */
  #account(at: string, isMissing: (message: Published) => boolean): void {
    const { way, isWhole } = this.#truth.between(this.#base, at) ?? {};
    // where the position itself is gone from the history as well, nobody can tell that it was another history
    const isUntold = !isWhole && (this.#lost === 0 || this.#truth.rollbacks === this.#rollbacks);
    if (!way || isUntold) {
      throw new Error(`it is at ${at} now, and was not told that this does not come after ${this.#base}`);
    }
    const unseen = way.filter((message) => !this.#seen.has(message.at));
    // of two messages that have had one number in turn, the client may have got the other one, which nobody can tell any more
    const numbers = new Set(this.#fresh.map(numberOf));
    // or have passed over it, where it was withheld
    for (const { n, at } of this.#truth.messages.values()) {
      if (!this.#isAllowed(n) && !way.some((message) => message.at === at)) numbers.add(numberOf(at));
    }
    const least = unseen.filter((message) => isMissing(message) && !numbers.has(numberOf(message.at))).length;
    if (this.#lost < least || this.#lost > unseen.length) {
      throw new Error(
        `${this.#lost} messages are said to be lost, and ${least} to ${unseen.length} are missing after ${this.#base}`,
      );
    }
  }

  #checkReasons(): void {
    const { resets, rollbacks, reasons } = this.#truth;
    const hasGoneBack = rollbacks > this.#rollbacks;
    for (const { messages, reason } of this.#losses) {
      const isUnknown = reason === "reset" || reason === "diverged";
      expect(messages === null, `whether the number of what is lost by ${reason} is null`).to.equal(
        isUnknown,
      );
      expect(messages, "number").to.not.equal(0);
      // a server that has not heard of a reset yet lets a client join where the history was before
      const hasBegunAnew = this.#isElsewhere || resets > this.#resets || hasGoneBack;
      if (reason === "reset") expect(hasBegunAnew, "a reset").to.equal(true);
      else if (reason === "diverged") expect(hasGoneBack, "a history that has gone back").to.equal(true);
      else if (reason !== "limit") expect([...reasons]).to.include(reason);
    }
  }

  /** From here on, only what comes is looked at. */
  #rest(at: string): void {
    this.#base = at;
    this.#lost = 0;
    this.#fresh = [];
    this.#losses = [];
    this.#resets = this.#truth.resets;
    this.#rollbacks = this.#truth.rollbacks;
    this.#isElsewhere = false;
    this.isImpaired = false;
  }
}

/** A position without its tag. */
function numberOf(at: string): string {
  return at.slice(0, at.lastIndexOf("."));
}

/** The history of a position. */
function epochOf(at: string): string {
  return at.slice(0, at.indexOf("."));
}
