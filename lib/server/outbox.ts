import type { Droppable } from "./slow-readers.js";

/** Where an outbox's frames go. */
export interface OutboxTransport {
  write(frame: string): void;
  /** Bytes that have been written and that the reader has not taken yet; they cannot be taken back. */
  readonly backlog: number;
}

/** A frame that waits for the reader. */
interface Held {
  frame: string;
  readonly droppable: Droppable | undefined;
}

/** The part of the limit that is written ahead of a reader before streams, and frames that may be dropped, wait. */
const AHEAD = 1 / 4;

/** How often it is looked after readers for which something waits, in milliseconds. */
const INTERVAL = 20;

/** What waits to be written to one socket, in order and within a bound. */
export class Outbox {
  readonly #transport: OutboxTransport;
  readonly #limit: number;
  readonly #ahead: number;
  readonly #waiting: WaitingOutboxes;
  readonly #onOverflow: () => void;
  #held: Held[] | undefined;
  /** Those of them that a newer one replaces, by their keys. */
  readonly #replaceable = new Map<string, Held>();
  #heldBytes = 0;
  #room: Promise<void> | undefined;
  #onRoom: () => void = () => {};
  /** The largest frame above the limit that may still be under way: by itself it says nothing of its reader. */
  #largest = 0;

  constructor(transport: OutboxTransport, limit: number, waiting: WaitingOutboxes, onOverflow: () => void) {
    this.#transport = transport;
    this.#limit = limit;
    this.#ahead = limit * AHEAD;
    this.#waiting = waiting;
    this.#onOverflow = onOverflow;
  }

  /** Sends a frame; one that may be dropped may come never, or be replaced by a newer one. */
  send(frame: string, droppable?: Droppable): void {
    const { backlog } = this.#transport;
    if (this.#held || (droppable && backlog > this.#ahead)) return this.#hold(frame, droppable, backlog);
    if (backlog > this.#limit + this.#largest) return this.#onOverflow();
    if (backlog === 0) this.#largest = 0;
    if (frame.length > this.#limit) this.#largest = Math.max(this.#largest, frame.length);
    this.#transport.write(frame);
  }

  /** Resolves when the reader has taken most of what was sent, or is gone; nothing where it has. */
  room(): Promise<void> | undefined {
    if (!this.#held && this.#transport.backlog <= this.#ahead) return undefined;
    this.#room ??= new Promise((resolve) => {
      this.#onRoom = resolve;
    });
    this.#waiting.add(this);
    return this.#room;
  }

  /** Writes what has waited as far as the reader has made room; says whether anything waits on. */
  flush(): boolean {
    const held = this.#held ?? [];
    let written = 0;
    while (written < held.length && this.#transport.backlog <= this.#ahead) {
      const next = held[written++];
      if (!next) break;
      this.#forget(next);
      this.#transport.write(next.frame);
    }
    held.splice(0, written);
    if (held.length > 0 || this.#transport.backlog > this.#ahead) return true;
    this.#held = undefined;
    this.#makeRoom();
    return false;
  }

  /** Drops all. */
  close(): void {
    this.#held = undefined;
    this.#replaceable.clear();
    this.#waiting.delete(this);
    this.#makeRoom();
  }

  /** Takes note of a frame that waits no more. */
  #forget({ frame, droppable }: Held): void {
    this.#heldBytes -= frame.length;
    if (droppable?.key !== undefined) this.#replaceable.delete(droppable.key);
  }

  #makeRoom(): void {
    this.#onRoom();
    this.#room = undefined;
  }

  #hold(frame: string, droppable: Droppable | undefined, backlog: number): void {
    this.#held ??= [];
    const { key } = droppable ?? {};
    const older = key === undefined ? undefined : this.#replaceable.get(key);
    if (older) {
      this.#heldBytes += frame.length - older.frame.length;
      older.frame = frame;
    } else {
      const held = { frame, droppable };
      this.#held.push(held);
      if (key !== undefined) this.#replaceable.set(key, held);
      this.#heldBytes += frame.length;
      this.#waiting.add(this);
    }
    while (this.#heldBytes + backlog > this.#limit + this.#largest) {
      const index = this.#held.findIndex((held) => held.droppable !== undefined);
      if (index === -1) return this.#onOverflow();
      const [dropped] = this.#held.splice(index, 1);
      if (dropped) this.#forget(dropped);
    }
  }
}

/** The outboxes in which something waits; one timer looks after them all. */
export class WaitingOutboxes {
  readonly #outboxes = new Set<Outbox>();
  #timer: NodeJS.Timeout | undefined;

  add(outbox: Outbox): void {
    this.#outboxes.add(outbox);
    this.#timer ??= setInterval(() => this.#flush(), INTERVAL);
  }

  delete(outbox: Outbox): void {
    this.#outboxes.delete(outbox);
    this.#stop();
  }

  #flush(): void {
    for (const outbox of this.#outboxes) if (!outbox.flush()) this.#outboxes.delete(outbox);
    this.#stop();
  }

  #stop(): void {
    if (this.#outboxes.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
