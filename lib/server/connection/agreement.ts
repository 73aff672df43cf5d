import { encodeAccepted } from "../../shared/frame-encoders.js";
import type { Position } from "../../shared/position.js";
import { type AuthFrame, type ClientFrame, PROTOCOL, type Protocol } from "../../shared/protocol.js";
import type { HistoryRequest } from "./channel-requests.js";
import type { ConnectionParts } from "./connection-parts.js";
import type { PresenceRequest } from "./presence-requests.js";

type CallFrame = Extract<ClientFrame, { type: "call" }>;

/** A frame that is one for those alone who know of histories, or of members. */
export type FurtherFrame = Extract<ClientFrame, { type: "history" | "presence" }>;

/** The parts of the server that an agreement needs. */
export type AgreementParts<Auth> = Pick<ConnectionParts<Auth>, "limits" | "presence" | "pubsub" | "show">;

/** A client's identity, as its server answers it. */
export interface AcceptedIdentity<Auth> {
  readonly auth: Auth;
  /** What `identify` calls it. */
  readonly key: string | undefined;
  /** Milliseconds until it expires; undefined where it does not. */
  readonly expiresIn: number | undefined;
}

/**
 * The agreement of a client and the server on what they speak, by the client's `auth` frames. What was asked for once stays,
 * since streams may be open.
 */
export class Agreement {
  protocol: Protocol = 3;
  /** Whether the client has asked for the positions of messages, and for what it has missed. */
  wantsHistory = false;
  /** The positions that it has told of channels to which the server may join it. */
  #positions: Map<string, Position> | undefined;

  /** Takes the wish for history, before the server joins the client to channels. */
  prepare<Auth>({ protocol, history, positions }: AuthFrame, { pubsub }: AgreementParts<Auth>): void {
    if (!history || protocol !== PROTOCOL || !pubsub.hasHistory || this.wantsHistory) return;
    this.wantsHistory = true;
    const known = [...(positions ?? [])].filter(([channel]) => pubsub.reader(channel));
    if (known.length > 0) this.#positions = new Map(known);
  }

  /** Takes the position that the client has said it knows of a channel to which the server joins it. */
  takePosition(channel: string): Position | undefined {
    const position = this.#positions?.get(channel);
    this.#positions?.delete(channel);
    return position;
  }

  /** Gives a frame as its client means it, a call like others where it knows no better; undefined where it lacks something. */
  understand<Auth>(
    frame: FurtherFrame,
    { presence }: AgreementParts<Auth>,
  ): CallFrame | HistoryRequest | PresenceRequest | undefined {
    const { head } = frame;
    if (frame.type === "history") {
      if (this.wantsHistory) return frame.query && { type: "history", head, ...frame.query };
    } else if (this.protocol === PROTOCOL && presence.isOn) {
      return frame.query && { type: "presence", head, ...frame.query };
    }
    return { type: "call", head, path: `_${frame.type}`, data: frame.req };
  }

  /** Accepts a client; gives the frame that tells it so. */
  accept<Auth>(frame: AuthFrame, identity: AcceptedIdentity<Auth>, parts: AgreementParts<Auth>): string {
    const { head, protocol, limits, history, identity: asked } = frame;
    if (protocol === PROTOCOL) this.protocol = PROTOCOL;
    const messageBytes = limits && parts.limits.messageBytes;
    const isTold = asked !== undefined && protocol === PROTOCOL;
    const shown = isTold ? parts.show(identity.auth, identity.key, asked) : undefined;
    const keeps = history && this.wantsHistory ? true : undefined;
    return encodeAccepted(head, protocol, identity.expiresIn, messageBytes, shown, keeps);
  }
}
