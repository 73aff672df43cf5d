import type { Presented } from "./identities.js";
import { isSelected, type Selection } from "./selectors.js";

/** The word that sockets are to be closed. */
export interface Revocation {
  readonly id: string;
  readonly selection: Selection;
  readonly code: number;
  readonly reason: string;
  /** When it was given, in milliseconds since 1970. */
  readonly at: number;
}

/** How many revocations are kept, here and in Redis, and how long, in milliseconds. */
export const MOST_REVOCATIONS = 1000;
export const REVOCATION_LIFE = 3_600_000;

/** The revocations of late, so that each is carried out once, and holds for tokens that are on their way, too. */
export class Revocations {
  readonly #known = new Map<string, Revocation>();

  /** Keeps one; says whether it is new. One that is so old that it may have been forgotten is not. */
  add(revocation: Revocation): boolean {
    const oldest = Date.now() - REVOCATION_LIFE;
    if (this.#known.has(revocation.id) || revocation.at <= oldest) return false;
    this.#known.set(revocation.id, revocation);
    for (const [id, { at }] of this.#known) {
      if (this.#known.size <= MOST_REVOCATIONS && at > oldest) break;
      this.#known.delete(id);
    }
    return true;
  }

  /** What holds for an identity whose token was asked for before it. */
  find({ key, sessionId, issuedAt }: Presented<unknown>): Revocation | undefined {
    const marks = { identity: key, sessionId };
    for (const revocation of this.#known.values()) {
      if (issuedAt <= revocation.at && isSelected(marks, revocation.selection)) return revocation;
    }
    return undefined;
  }
}
