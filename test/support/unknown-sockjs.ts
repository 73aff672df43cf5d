import type { Server } from "sockjs";

interface Inside {
  readonly readyState: number;
  send(message: string): boolean;
  close(code?: number, reason?: string): boolean;
}

/** Lets a SockJS server's connections look as if of another version: of the inside there is only what they need by themselves. */
export function hideInside(server: Server): void {
  server.prependListener("connection", (connection) => {
    const holder = connection as unknown as { _session?: Inside };
    const inside = holder._session;
    if (!inside) return;
    holder._session = {
      get readyState() {
        return inside.readyState;
      },
      send: (message) => inside.send(message),
      close: (code, reason) => inside.close(code, reason),
    };
  });
}
