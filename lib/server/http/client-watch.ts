import type { Duplex } from "node:stream";

/** Bytes that a client may send before its upgrade is answered; RFC 6455, section 4.1, has it wait. */
const MOST_EARLY_BYTES = 16_384;

/**
 * Watches the client of an upgrade that has to wait: Node.js reads no more of it, so that its end has to be seen here. A
 * client that sends too much meanwhile is cut.
 *
 * Gives the function that ends the watch and serves the upgrade, with all that has come; nothing is served where the client
 * has gone.
 */
export function watchClient(socket: Duplex): (serve: () => void) => void {
  const early: Buffer[] = [];
  let length = 0;
  const onData = (chunk: Buffer) => {
    early.push(chunk);
    length += chunk.length;
    if (length > MOST_EARLY_BYTES) socket.destroy();
  };
  const onEnd = () => socket.destroy();
  socket.on("data", onData).on("end", onEnd).on("error", ignore);
  return (serve) => {
    socket.off("data", onData).off("end", onEnd);
    // its error may be told yet
    if (socket.destroyed) return;
    socket.pause();
    if (length > 0) socket.unshift(Buffer.concat(early));
    serve();
    socket.off("error", ignore).resume();
  };
}

function ignore(): void {}
