import { io } from "socket.io-client";
import { MARK, NUMBER_DIGITS } from "../messages.js";

const { TokenSocket } = (await import(
  new URL("../../dist/client/index.js", import.meta.url).href
)) as typeof import("../../lib/client/index.js");

const HOST = "http://127.0.0.1";
/** How long an application with Socket.IO waits before it tries again what its server has refused, in milliseconds. */
const RETRY = 1000;

/** What a client tells of. */
export interface Listener {
  onNumber(number: number): void;
  /** Called with how many messages are lost, or with null where the client is told only that some may be. */
  onLost(messages: number | null): void;
}

/** A client that is in its channel, and comes back to it. */
export interface JitterClient {
  end(): void;
}

/** Connects to a port, and joins a channel. */
export type Open = (port: number, channel: string, listener: Listener) => Promise<JitterClient>;

const numberOf = ({ m }: { m: string }) => Number(m.slice(MARK.length, MARK.length + NUMBER_DIGITS));

/** This library's client, with its defaults. */
export const openTokenSocket: Open = async (port, channel, { onNumber, onLost }) => {
  const socket = new TokenSocket({ host: `${HOST}:${port}`, sockjs: false });
  socket.onmessage((_channel, message) => onNumber(numberOf(message as { m: string })));
  socket.on("lost", (_channel, { messages }) => onLost(messages));
  await socket.subscribe(channel);
  return socket;
};

/** Socket.IO's client, with its defaults, for WebSockets alone. An application has to join rooms again that were not recovered. */
export const openSocketIo =
  (recovery: boolean): Open =>
  (port, channel, { onNumber, onLost }) =>
    new Promise((resolve) => {
      let isJoined = false;
      const socket = io(`${HOST}:${port}`, {
        transports: ["websocket"],
        forceNew: true,
        auth: (give) => void token(port).then((given) => give({ token: given })),
      });
      const join = () => {
        isJoined = false;
        socket.emit("subscribe", channel, () => {
          isJoined = true;
          // until now it could know that it missed messages
          if (recovery) onLost(null);
          resolve({ end: () => void socket.disconnect() });
        });
      };
      socket.on("connect", () => {
        if (!socket.recovered || !isJoined) join();
      });
      socket.on("connect_error", () => {
        if (!socket.active) setTimeout(() => socket.connect(), RETRY);
      });
      socket.on("message", (_channel: string, message: { m: string }) => onNumber(numberOf(message)));
    });

/** A token of the contender's own login; none where the line is cut meanwhile. */
async function token(port: number): Promise<string | undefined> {
  try {
    const response = await fetch(`${HOST}:${port}/login`);
    return ((await response.json()) as { token: string }).token;
  } catch {
    return undefined;
  }
}
