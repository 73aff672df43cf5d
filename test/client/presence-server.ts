import type { WebSocket } from "ws";
import type { Member } from "../../lib/client/index.js";
import { HistoryServer } from "./history-server.js";

type Change = Partial<Record<"join" | "leave" | "update", unknown[]>>;

/** A server that tells the members of channels, by hand: a test changes its list, and says what of it is told. */
export class PresenceServer extends HistoryServer {
  /** The members of every channel. */
  readonly list = new Map<string, Member>();
  version = 1;
  /** The number of members in one page. */
  page = 100;
  /** The own id that clients are told. */
  me: string | undefined = "7";
  /** Whether numbers alone are told. */
  isCount = false;
  /** The error that the list is refused with. */
  refusal: object | undefined;
  readonly states: unknown[] = [];
  /** Answers wait for it. */
  gate: Promise<void> | undefined;

  override answer(frame: Parameters<HistoryServer["answer"]>[0], socket: WebSocket): void {
    if (frame.rpc !== "_presence") return super.answer(frame, socket);
    void this.#answer(frame as never, socket);
  }

  /** The frame of a change, which the list has from now on. */
  change(change: Change, isTold = true): object {
    for (const member of [...(change.join ?? []), ...(change.update ?? [])] as Member[])
      this.list.set(member.id, member);
    for (const { id } of (change.leave ?? []) as Member[]) this.list.delete(id);
    const frame = { presence: "room", v: ++this.version, count: this.list.size, ...change };
    if (isTold) this.sendAll(frame);
    return frame;
  }

  async #answer(
    frame: { rpc: string; uuid: string; req: { after?: string; state?: unknown; end?: true } },
    socket: WebSocket,
  ): Promise<void> {
    await this.gate;
    const { rpc, uuid, req } = frame;
    if (req.end) return this.send(socket, { rpc, uuid, resp: "success" });
    if (this.refusal) return this.send(socket, { rpc, uuid, error: this.refusal });
    if ("state" in req) {
      this.states.push(req.state);
      return this.send(socket, { rpc, uuid, resp: "success" });
    }
    const { version: v, me } = this;
    const from = Number(req.after ?? 0);
    const all = [...this.list.values()];
    const members = all.slice(from, from + this.page);
    const next = from + this.page < all.length ? `${from + this.page}` : undefined;
    const page = this.isCount ? {} : { members, next };
    this.send(socket, { rpc, uuid, resp: { v, count: all.length, me: req.after ? undefined : me, ...page } });
  }
}

export function member(id: string, more: Partial<Member> = {}): Member {
  return { id, info: null, state: null, since: 1_767_225_600_000, sockets: 1, ...more };
}
