type Handler = ((event: never) => unknown) | null;

/** The part of a WebSocket, or of an object like it, that the client uses. */
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
