/**
 * SockJS's frames on a WebSocket, as its protocol has them
 * (https://sockjs.github.io/sockjs-protocol/sockjs-protocol-0.3.3.html, "WebSocket protocol").
 */

/** Reads what a client has sent: its messages, which may be no strings; undefined for what is malformed. */
export function parseFrame(text: string): unknown[] | undefined {
  if (text === "") return [];
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) ? parsed : [parsed];
  } catch {
    return undefined;
  }
}

/** The frame that ends a session. */
export function closeFrame(code: number, reason: string): string {
  return `c${JSON.stringify([code, reason])}`;
}
