import { addressKey } from "../limits/address.js";
import { Counts } from "../limits/counts.js";
import type { Limits } from "../limits/limits.js";

/** The place of one token among those that are outstanding, from the request for it on. */
export interface TokenPlace {
  readonly session: string | undefined;
  readonly address: string;
  /** The time of the token request, by the steady clock. */
  readonly issuedAt: number;
}

/**
 * The tokens that this server has issued and that have neither been redeemed here nor expired, and those that it is about
 * to issue. Bounded for each session and each address.
 */
export class OutstandingTokens {
  readonly #ttl: number;
  readonly #perSession: Counts;
  readonly #perAddress: Counts;
  /** In the order in which they expire, by a clock that nobody sets. */
  readonly #issued = new Map<string, { readonly place: TokenPlace; readonly end: number }>();

  /** Until then none expires: to look for the first of a map takes long where many before it were taken out. */
  #firstEnd = 0;

  /** `ttl` is a token's life in milliseconds. */
  constructor(limits: Pick<Limits, "tokensPerSession" | "tokensPerIp">, ttl: number) {
    this.#ttl = ttl;
    this.#perSession = new Counts(limits.tokensPerSession);
    this.#perAddress = new Counts(limits.tokensPerIp);
  }

  /** Takes a place for a token; gives undefined where its session or its address has as many as it may. */
  enter(session: string | undefined, ip: string | undefined, issuedAt: number): TokenPlace | undefined {
    this.#forget();
    const address = addressKey(ip);
    const hasRoom =
      this.#perAddress.hasRoom(address) && (session === undefined || this.#perSession.hasRoom(session));
    if (!hasRoom) return undefined;
    this.#perAddress.add(address);
    if (session !== undefined) this.#perSession.add(session);
    return { session, address, issuedAt };
  }

  /** Gives a place back for which there is no token. */
  leave({ session, address }: TokenPlace): void {
    this.#perAddress.delete(address);
    if (session !== undefined) this.#perSession.delete(session);
  }

  /** Keeps a place until its token is redeemed or expires. */
  keep(place: TokenPlace, token: string): void {
    this.#issued.set(token, { place, end: performance.now() + this.#ttl });
  }

  /** Takes a token out that was redeemed; gives its place if it was issued here. */
  redeem(token: string): TokenPlace | undefined {
    const place = this.#issued.get(token)?.place;
    if (!place) return undefined;
    this.#issued.delete(token);
    this.leave(place);
    return place;
  }

  #forget(): void {
    const now = performance.now();
    if (now < this.#firstEnd) return;
    for (const [token, { place, end }] of this.#issued) {
      if (end > now) {
        this.#firstEnd = end;
        return;
      }
      this.#issued.delete(token);
      this.leave(place);
    }
  }
}
