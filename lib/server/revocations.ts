import type { Presented } from "./identities.js";
import type { Selection } from "./selectors.js";

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
export const MOST_REVOCATIONS = 10_000;
export const REVOCATION_LIFE = 3_600_000;

/** How much longer than its life a token may be on its way, in milliseconds: those who make it and who present it may be slow. */
const ON_ITS_WAY = 60_000;

/** The revocations of late, so that each is carried out once, and holds for tokens that are on their way, too. */
export class Revocations {
  readonly #tokenTtl: number;
  readonly #known = new Map<string, Revocation>();
  /** The newest for each selection. */
  readonly #newest = new Map<string, Revocation>();

  /** `tokenTtl` is the life of a token in milliseconds. What may hold for one is kept, however many there are. */
  constructor(tokenTtl: number) {
    this.#tokenTtl = tokenTtl;
  }

  /** Keeps one; says whether it is new. One that is so old that it may have been forgotten is not. */
  add(revocation: Revocation): boolean {
    if (this.#known.has(revocation.id) || revocation.at <= Date.now() - REVOCATION_LIFE) return false;
    this.#known.set(revocation.id, revocation);
    const name = nameOf(revocation.selection);
    if (revocation.at >= (this.#newest.get(name)?.at ?? 0)) this.#newest.set(name, revocation);
    this.#forget();
    return true;
  }

  /** What holds for an identity whose token was asked for before it. */
  find({ key, sessionId, issuedAt }: Presented<unknown>): Revocation | undefined {
    return [this.#of("identity", key), this.#of("sessionId", sessionId)].find(
      (revocation) => revocation && issuedAt <= revocation.at,
    );
  }

  #of(by: Selection["by"], value: string | undefined): Revocation | undefined {
    return value === undefined ? undefined : this.#newest.get(nameOf({ by, value }));
  }

  #forget(): void {
    const now = Date.now();
    for (const [id, revocation] of this.#known) {
      const age = now - revocation.at;
      const isOver = age >= REVOCATION_LIFE;
      if (!isOver && (this.#known.size <= MOST_REVOCATIONS || age < this.#tokenTtl + ON_ITS_WAY)) return;
      this.#known.delete(id);
      const name = nameOf(revocation.selection);
      if (this.#newest.get(name) === revocation) this.#newest.delete(name);
    }
  }
}

function nameOf({ by, value }: Selection): string {
  return `${by}:${value}`;
}
