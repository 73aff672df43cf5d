import type { JsonObject } from "../../shared/protocol.js";
import { randomText } from "../calls/random-text.js";
import { ConnectionError } from "../errors.js";
import { type AuthenticationData, type Fetch, headersOf, type ResolvedOptions } from "../options.js";
import { within } from "../time-limit.js";
import { encodeQuery } from "./query.js";

/** The longest that a server can make a client wait, in milliseconds. */
const LONGEST_WAIT = 60_000;

/** Characters of a token route's answer. */
const LONGEST_ANSWER = 65_536;

const { location } = globalThis as { location?: { readonly origin: string } };

/** The part of an answer's body that is read. */
interface Body {
  getReader?(): {
    read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array }>;
  };
}

/** The token, and what belongs to it in an `auth` frame. */
export interface Credentials {
  readonly token: string;
  /** The nonce that the token is bound to, if it is. */
  readonly nonce: string | undefined;
}

/** Asks the token route. */
export function requestToken(
  options: ResolvedOptions,
  given: AuthenticationData,
  signal: AbortSignal,
): Promise<Credentials> {
  const { tokenUrl, tokenMethod, credentials, connectTimeout, fetch } = options;
  const nonce = options.nonce ? randomText() : undefined;
  const data = nonce ? { ...given, nonce } : (given ?? {});
  const isPost = tokenMethod === "POST";
  const query = isPost ? "" : encodeQuery(data);
  const url = query ? `${tokenUrl}${tokenUrl.includes("?") ? "&" : "?"}${query}` : tokenUrl;
  // what goes with the request is for this server alone: only to its own origin may it be sent on
  const isOwn = location === undefined || url.startsWith(`${location.origin}/`);
  return within(connectTimeout, "token", signal, async (limit) => {
    const headers = { ...(isPost && { "Content-Type": "application/json" }), ...(await headersOf(options)) };
    const response = await fetch(url, {
      method: tokenMethod,
      headers,
      credentials,
      cache: "no-store",
      ...(isOwn ? { mode: "same-origin" } : { redirect: "error" }),
      signal: limit,
      ...(isPost && { body: JSON.stringify(data) }),
    }).catch((cause: unknown) => {
      throw new ConnectionError(`No token: ${(cause as Error).message}`, undefined, cause);
    });
    const { token, error } = Object(await readJson(response).catch(() => {})) as JsonObject;
    const { status } = response;
    if (status === 200 && typeof token === "string") return { token, nonce };
    const message = typeof error === "string" ? error : `No token: ${status}`;
    const wait = retryAfter(response.headers.get("retry-after"));
    throw new ConnectionError(message, status, undefined, wait);
  });
}

/** Says whether the server is there, but serves nothing under the prefix, where it would serve SockJS's `/info`. */
export function isUnserved(options: ResolvedOptions, signal: AbortSignal): Promise<boolean> {
  // the same request, from which no token comes, but a status
  const info = { ...options, tokenUrl: `${options.socketUrl}/info`, tokenMethod: "GET" as const };
  return requestToken(info, null, signal).then(
    () => false,
    ({ status }: Partial<ConnectionError>) => status === 404,
  );
}

/** Reads the answer, but no more than a token route gives. Rejects for what is no JSON. */
async function readJson(response: Awaited<ReturnType<Fetch>>): Promise<unknown> {
  const reader = (response.body as Body | null | undefined)?.getReader?.();
  if (!reader) return response.json();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return JSON.parse(text);
    text += decoder.decode(value, { stream: true });
    if (text.length > LONGEST_ANSWER) return {};
  }
}

/** The milliseconds to wait by a `Retry-After`, which has seconds or a date; at most a minute. */
export function retryAfter(value: string | null, now = Date.now()): number {
  const time = Number(value) * 1000;
  const wait = time >= 0 ? time : Date.parse(`${value}`) - now;
  return Math.min(wait > 0 ? wait : 0, LONGEST_WAIT);
}
