import { constants, deflateRaw, inflateRaw } from "node:zlib";

interface Message {
  rsv1: boolean;
  data: Buffer;
}

type Done = (error: Error | null, message?: Message) => void;

/** What ends a block that is flushed, and is left out of a message (RFC 7692, section 7.2.1). */
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);

/** The WebSocket extension `permessage-deflate` (RFC 7692) for SockJS's WebSocket, without context takeover. */
export const DEFLATE = {
  name: "permessage-deflate",
  type: "permessage",
  rsv1: true,
  rsv2: false,
  rsv3: false,
  createServerSession: () => ({
    generateResponse: () => ({ server_no_context_takeover: true, client_no_context_takeover: true }),
    processOutgoingMessage(message: Message, done: Done) {
      deflateRaw(message.data, { finishFlush: constants.Z_SYNC_FLUSH }, (error, data) => {
        message.rsv1 = true;
        message.data = data.subarray(0, -TAIL.length);
        done(error, message);
      });
    },
    processIncomingMessage(message: Message, done: Done) {
      if (!message.rsv1) return done(null, message);
      const data = Buffer.concat([message.data, TAIL]);
      inflateRaw(data, { finishFlush: constants.Z_SYNC_FLUSH }, (error, inflated) => {
        message.data = inflated;
        done(error, message);
      });
    },
    close() {},
  }),
};
