import { CLOSE } from "../shared/close-codes.js";
import { steadyNow } from "./clock.js";
import type { Presented } from "./identities.js";
import type { Selection } from "./selectors.js";

/** A revocation: sockets that must be closed, and why. */
export interface Revocation {
  readonly id: string;
  readonly selection: Selection;
  readonly code: number;
  readonly reason: string;
  /** When it was given, by the steady clock: tokens that were asked for until then are revoked. */
  readonly at: number;
  /** Whether tokens that are asked for later are revoked, too, since the session has ended for good. */
  readonly isFinal?: boolean;
  /** Its text in Redis. */
  readonly entry?: string;
}

/** Why an identity is revoked, and by which revocation where that is still known. */
export type Revoked = Pick<Revocation, "code" | "reason"> & Partial<Pick<Revocation, "id">>;

/** How many revocations of a kind are kept, here and in Redis, and how long, in milliseconds. */
export const MOST_REVOCATIONS = 10_000;
export const REVOCATION_LIFE = 3_600_000;

/** How many of a kind are kept here as long as they may hold for a token. */
export const MOST_HOLDING = 100_000;

/** How much longer than its life a token may be on its way, in milliseconds: those who make it and who present it may be slow. */
export const ON_ITS_WAY = 60_000;

/**
 * The newest revocation for each selection, so that it holds for tokens that are on their way, too. Each kind of selection
 * is bounded by itself, so that a flood of one kind takes nothing from the others.
 */
export class Revocations {
  readonly #kinds: Readonly<Record<Selection["by"], RevocationsOfKind>>;

  /** `tokenTtl` is the life of a token in milliseconds. */
  constructor(tokenTtl: number) {
    const holding = tokenTtl + ON_ITS_WAY;
    this.#kinds = {
      sid: new RevocationsOfKind(holding),
      identity: new RevocationsOfKind(holding),
      sessionId: new RevocationsOfKind(holding),
    };
  }

  /** The newest one for a selection. */
  of({ by, value }: Selection): Revocation | undefined {
    return this.#kinds[by].get(value);
  }

  /** Keeps one; says whether it is new. One that is so old that it may have been forgotten is not. */
  add(revocation: Revocation): boolean {
    const isKnown = this.of(revocation.selection)?.id === revocation.id;
    if (isKnown || revocation.at <= steadyNow() - REVOCATION_LIFE) return false;
    this.#kinds[revocation.selection.by].add(revocation);
    return true;
  }

  /** Gives why an identity is revoked, which is so where its token was asked for before a revocation. */
  find({
    key,
    sessionId,
    issuedAt,
  }: Pick<Presented<unknown>, "key" | "sessionId" | "issuedAt">): Revoked | undefined {
    const { identity, sessionId: bySession } = this.#kinds;
    return identity.find(key, issuedAt) ?? bySession.find(sessionId, issuedAt);
  }
}

/** The newest revocations of one kind of selection. */
class RevocationsOfKind {
  readonly #holding: number;
  /** By the values of their selections, in the order in which they have come. */
  readonly #newest = new Map<string, Revocation>();
  /** When the newest was given of those that had to make room although they might hold for a token. */
  #floor = Number.NEGATIVE_INFINITY;

  /** `holding` is for how many milliseconds a revocation may hold for a token. */
  constructor(holding: number) {
    this.#holding = holding;
  }

  get(value: string): Revocation | undefined {
    return this.#newest.get(value);
  }

  add(revocation: Revocation): void {
    const { value } = revocation.selection;
    const before = this.#newest.get(value);
    // a session that has ended stays so, whatever is said of it later
    if (before && !revocation.isFinal && (before.isFinal || revocation.at < before.at)) return;
    this.#newest.delete(value);
    this.#newest.set(value, revocation);
    this.#forget();
  }

  find(value: string | undefined, issuedAt: number): Revoked | undefined {
    if (value === undefined) return undefined;
    const revocation = this.#newest.get(value);
    if (revocation && (revocation.isFinal || issuedAt <= revocation.at)) return revocation;
    // it cannot be told any more whom those were for: whoever comes with so old a token has to ask for a new one
    return issuedAt <= this.#floor ? CLOSE.disconnected : undefined;
  }

  #forget(): void {
    const now = steadyNow();
    for (const [value, { at }] of this.#newest) {
      const age = now - at;
      const mayHold = age < this.#holding;
      const most = mayHold ? MOST_HOLDING : MOST_REVOCATIONS;
      if (age < REVOCATION_LIFE && this.#newest.size <= most) return;
      this.#newest.delete(value);
      if (mayHold) this.#floor = Math.max(this.#floor, at);
    }
  }
}
