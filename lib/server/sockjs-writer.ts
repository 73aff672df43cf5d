import type { Bundle } from "./bundles.js";
import type { SockJSConnection } from "./socket.js";
import { type KnownWebSocket, OPEN, sessionOf } from "./sockjs-session.js";

/**
 * Writes a bundle in one go where SockJS's `write` would take one message at a time: ready-made frames to a
 * WebSocket's TCP connection, or to the other transports by what SockJS keeps for them. Where SockJS is not as expected inside,
 * `write` takes the messages one by one. Says whether SockJS keeps nothing of them.
 */
export function writeBundle(
  bundle: Bundle,
  connection: SockJSConnection,
  write: SockJSConnection["write"],
  webSocket: KnownWebSocket | undefined,
): boolean {
  if (webSocket && isOpen(webSocket)) {
    const { tcp, driver, isPlain } = webSocket;
    // as the pipe does by which all else that the driver has to say comes to the same TCP connection
    if (!tcp.write(bundle.encoded(isPlain ? "plain" : "sockjs"))) driver.io.pause();
    return true;
  }
  const messages = bundle.messages;
  const last = messages.length - 1;
  const session = sessionOf(connection);
  if (session?.readyState === OPEN && session.send_buffer) {
    // it sends all that it has with the next message
    session.send_buffer.push(...messages.slice(0, last));
  } else {
    for (const message of messages.slice(0, last)) Reflect.apply(write, connection, [message]);
  }
  Reflect.apply(write, connection, messages.slice(last));
  return !session?.send_buffer?.length;
}

/** Whether frames may be sent, and none is kept back that would have to come first. */
function isOpen({ session, webSocket, driver, tcp }: KnownWebSocket): boolean {
  return (
    session.readyState === OPEN &&
    webSocket.readyState === OPEN &&
    driver.readyState === OPEN &&
    tcp.writable === true &&
    !session.send_buffer?.length
  );
}
