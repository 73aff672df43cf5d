import type { JsonObject } from "../shared/protocol.js";
import { ConnectionError, UnauthorizedError } from "./errors.js";
import type { AuthenticationData, ResolvedOptions } from "./options.js";
import { encodeQuery } from "./query.js";
import { within } from "./time-limit.js";

/** The longest that a server can make a client wait, in milliseconds. */
const LONGEST_WAIT = 60_000;

/** What an `auth` frame presents. */
export interface Credentials {
  readonly token: string;
  /** What the token is bound to, where it is. */
  readonly nonce: string | undefined;
}

/** Asks the token route. Rejects with an `UnauthorizedError` where the user is refused. */
export function requestToken(
  { tokenUrl, tokenMethod, headers, credentials, connectTimeout, fetch, nonce: isBound }: ResolvedOptions,
  given: AuthenticationData,
  signal: AbortSignal,
): Promise<Credentials> {
  const nonce = isBound ? crypto.getRandomValues(new Uint8Array(16)).join("-") : undefined;
  const data = nonce ? { ...given, nonce } : (given ?? {});
  const isPost = tokenMethod === "POST";
  const query = isPost ? "" : encodeQuery(data);
  const url = query ? `${tokenUrl}${tokenUrl.includes("?") ? "&" : "?"}${query}` : tokenUrl;
  return within(connectTimeout, "The token request", signal, async (limit) => {
    const response = await fetch(url, {
      method: tokenMethod,
      headers: { ...(isPost && { "Content-Type": "application/json" }), ...headers },
      credentials,
      cache: "no-store",
      signal: limit,
      ...(isPost && { body: JSON.stringify(data) }),
    });
    const { token, error } = Object(await response.json().catch(() => {})) as JsonObject;
    const { status } = response;
    const message = typeof error === "string" ? error : undefined;
    if (status === 403) throw new UnauthorizedError(message ?? "Forbidden");
    if (status === 200 && typeof token === "string") return { token, nonce };
    const wait = retryAfter(response.headers.get("retry-after"));
    throw new ConnectionError(message ?? `No token, status ${status}`, status, undefined, wait);
  });
}

/** How many milliseconds to wait by a `Retry-After`, which has seconds or a date; at most a minute. */
export function retryAfter(value: string | null, now = Date.now()): number {
  const time = Number(value) * 1000;
  const wait = Number.isNaN(time) ? Date.parse(`${value}`) - now : time;
  return Math.min(Math.max(wait, 0) || 0, LONGEST_WAIT);
}
