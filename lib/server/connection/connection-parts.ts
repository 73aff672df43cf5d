import type { AskedIdentity, ShownIdentity } from "../../shared/protocol.js";
import type { ServerEvents } from "../events/events.js";
import type { CallParts } from "../rpc/incoming-calls.js";
import type { WaitingSendQueues } from "../transport/send-queue.js";
import type { Socket } from "../transport/socket.js";
import type { AuthenticationParts } from "./authentication.js";
import type { ChannelRequestParts } from "./channel-requests.js";

/** The parts of the server that its connections need. */
export interface ConnectionParts<Auth>
  extends CallParts<Auth>,
    AuthenticationParts<Auth>,
    ChannelRequestParts<Auth> {
  readonly ping: boolean;
  /** Gives what a client that asks is told of its identity; `key` is what `identify` calls that. */
  readonly show: (auth: Auth, key: string | undefined, asked: AskedIdentity) => ShownIdentity;
  readonly waitingSendQueues: WaitingSendQueues;
  /** Tells the application of something that has happened. */
  readonly notify: <E extends "authenticated" | "published" | "broadcasted">(
    event: E,
    ...args: ServerEvents<Auth>[E]
  ) => void;
  /** Called once, when a connection has closed. */
  readonly onClosed: (socket: Socket<Auth>) => void;
}
