type Handler = ((event: never) => unknown) | null;

/** What the client needs of a WebSocket or of what looks like one. */
export interface SocketLike {
  onopen: Handler;
  onmessage: Handler;
  onclose: Handler;
  onerror: Handler;
  send(text: string): unknown;
  close(code?: number, reason?: string): unknown;
  /** Ends the connection without a farewell, where there is such a way. */
  terminate?(): void;
}

/** Makes one; `ws` takes `{ headers }` as its third argument, SockJS its options. */
export type SocketConstructor = new (
  url: string,
  protocols?: string[],
  options?: Record<string, unknown>,
) => SocketLike;
