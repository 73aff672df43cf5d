import { CLOSE, type CloseReason } from "../../shared/close-codes.js";
/** A message that may be dropped. */
export interface Droppable {
  /** A newer message of this key takes the place of an older one. */
  readonly key: string | undefined;
  /** Absent where the reader is not told. */
  readonly loss?: LossNote | undefined;
}

/** The way to tell a reader that messages were dropped. */
export interface LossNote {
  /** Messages of one group are told of together. */
  readonly group: string;
  /** Gives the frame that tells it, which is about to be sent; this message is the last of so many. */
  tell(messages: number): string;
}

/** Messages that were dropped. */
interface Loss {
  readonly messages: number;
  /** The note of the last one. */
  readonly note: LossNote;
}

/** The transport that a send queue writes its frames to. */
export interface SendQueueTransport {
  write(frame: string): void;
  /** Writes what waits for the end of the turn; says whether there was anything. */
  flush(): boolean;
  /** Bytes that have been written and that the reader has not taken yet; they cannot be taken back. */
  readonly backlog: number;
}

/** The owner of a send queue. */
export interface SendQueueOwner {
  /** Called when too much waits: ends the connection of a client that takes nothing any more. */
  terminate(reason: CloseReason): void;
}

/** A frame that waits for the reader. */
interface Held {
  /** Undefined where all that is left is to tell of a loss. */
  frame: string | undefined;
  droppable: Droppable | undefined;
  /** Messages of its group that were dropped before it. */
  loss: Loss | undefined;
}

/** The characters of a frame that tells of a loss, about. */
const NOTE_LENGTH = 150;

/** The part of the limit that is written ahead of a reader before streams, and frames that may be dropped, wait. */
const AHEAD = 1 / 4;

/** The interval at which readers are looked after for which something waits, in milliseconds. */
const INTERVAL = 20;

/** The levels of readers that have long taken nothing: each level's turn comes half as often as that of the one before. */
const LEVELS = 5;

/** A queue of frames that wait, in order and within a bound, until one socket can take them. */
export class SendQueue {
  readonly #transport: SendQueueTransport;
  readonly #limit: number;
  readonly #waiting: WaitingSendQueues;
  readonly #owner: SendQueueOwner;
  #held: Held[] | undefined;
  /** The number of them that `flush` has written, and is about to take out; whoever is told of a loss may send meanwhile. */
  #written = 0;
  /** Those of them that a newer one replaces, by their keys. */
  #replaceable: Map<string | undefined, Held> | undefined;
  #heldBytes = 0;
  /** The backlog when it was last looked at. */
  #lastBacklog = 0;
  #drained: Promise<void> | undefined;
  #onDrained: (() => void) | undefined;
  /** The largest frame above the limit that may still be under way: by itself it says nothing of its reader. */
  #largest = 0;

  constructor(
    transport: SendQueueTransport,
    limit: number,
    waiting: WaitingSendQueues,
    owner: SendQueueOwner,
  ) {
    this.#transport = transport;
    this.#limit = limit;
    this.#waiting = waiting;
    this.#owner = owner;
  }

  /** Sends a frame; one that may be dropped may come never, or be replaced by a newer one. */
  send(frame: string, droppable?: Droppable): void {
    const backlog = this.#backlog;
    if (this.#held || (droppable && backlog > this.#ahead)) return this.#hold(frame, droppable, backlog);
    if (backlog > this.#limit + this.#largest) return this.#owner.terminate(CLOSE.tooSlow);
    if (backlog === 0) this.#largest = 0;
    if (frame.length > this.#limit) this.#largest = Math.max(this.#largest, frame.length);
    this.#transport.write(frame);
  }

  /** Resolves when the reader has taken most of what was sent, or is gone; nothing where it has. */
  whenDrained(): Promise<void> | undefined {
    if (!this.#held && this.#backlog <= this.#ahead) return undefined;
    this.#drained ??= new Promise((resolve) => {
      this.#onDrained = resolve;
    });
    this.#waiting.add(this);
    return this.#drained;
  }

  /** Writes what has waited as far as the reader has made room; says whether anything waits on. */
  flush(): "done" | "moved" | "stuck" {
    let backlog = this.#backlog;
    const hasMoved = backlog !== this.#lastBacklog;
    if (!hasMoved && backlog > this.#ahead) return "stuck";
    const held = this.#held ?? [];
    for (let next = held[0]; next && backlog <= this.#ahead; next = held[this.#written]) {
      this.#written++;
      this.#forget(next);
      if (next.loss) this.#transport.write(next.loss.note.tell(next.loss.messages));
      if (next.frame !== undefined) this.#transport.write(next.frame);
      backlog = this.#backlog;
    }
    held.splice(0, this.#written);
    this.#written = 0;
    this.#lastBacklog = backlog;
    if (backlog > this.#ahead) return "moved";
    this.#held = undefined;
    this.#replaceable = undefined;
    this.#tellDrained();
    return "done";
  }

  /** Drops all. */
  close(): void {
    this.#held = undefined;
    this.#replaceable = undefined;
    this.#waiting.delete(this);
    this.#tellDrained();
  }

  get #ahead(): number {
    return this.#limit * AHEAD;
  }

  /** The bytes that the reader has not taken; what waits for the end of the turn does not count. */
  get #backlog(): number {
    const { backlog } = this.#transport;
    return backlog > this.#ahead && this.#transport.flush() ? this.#transport.backlog : backlog;
  }

  /** Takes note of a frame that waits no more. */
  #forget(held: Held): void {
    this.#heldBytes -= lengthOf(held);
    this.#replaceable?.delete(held.droppable?.key);
  }

  #tellDrained(): void {
    this.#onDrained?.();
    this.#onDrained = undefined;
    this.#drained = undefined;
  }

  #hold(frame: string, droppable: Droppable | undefined, backlog: number): void {
    this.#held ??= [];
    this.#replaceable ??= new Map();
    const key = droppable?.key;
    const older = this.#replaceable.get(key);
    if (older) {
      this.#heldBytes += frame.length - lengthOf(older);
      older.loss = withLoss(older);
      older.frame = frame;
      older.droppable = droppable;
    } else {
      const held: Held = { frame, droppable, loss: undefined };
      this.#held.push(held);
      if (key !== undefined) this.#replaceable.set(key, held);
      this.#heldBytes += frame.length;
      this.#waiting.add(this);
    }
    while (this.#heldBytes + backlog > this.#limit + this.#largest) {
      const index = this.#held.findIndex((held, at) => at >= this.#written && held.droppable !== undefined);
      const dropped = this.#held[index];
      if (!dropped) return this.#owner.terminate(CLOSE.tooSlow);
      this.#held.splice(index, 1);
      this.#drop(dropped, this.#held, index);
    }
  }

  /** Drops a message that was at an index. Its reader is told before the next one of its group, or in its place. */
  #drop(dropped: Held, held: Held[], index: number): void {
    this.#forget(dropped);
    const loss = withLoss(dropped);
    if (!loss) return;
    const isOfGroup = ({ droppable, loss: other }: Held) =>
      (droppable?.loss ?? other?.note)?.group === loss.note.group;
    const next = held.slice(index).find(isOfGroup);
    // of its group, before the oldest that may be dropped, only what tells of a loss
    const before = next ? undefined : held.slice(this.#written, index).find(isOfGroup);
    if (next) next.loss = next.loss ? together(loss, next.loss) : loss;
    else if (before) before.loss = together(before.loss, loss);
    else {
      held.splice(index, 0, { frame: undefined, droppable: undefined, loss });
      this.#heldBytes += NOTE_LENGTH;
    }
  }
}

/** What is lost with a message that is dropped; undefined where its reader is not told. */
function withLoss({ droppable, loss }: Held): Loss | undefined {
  // Stryker disable next-line OptionalChaining: only what is droppable is replaced or dropped
  const note = droppable?.loss;
  return note && together(loss, { messages: 1, note });
}

/** Losses of one group, to be told of as the later one is. */
function together(earlier: Loss | undefined, later: Loss): Loss {
  return { messages: (earlier?.messages ?? 0) + later.messages, note: later.note };
}

function lengthOf({ frame }: Held): number {
  return frame?.length ?? NOTE_LENGTH;
}

/**
 * The send queues in which something waits; one timer looks after them all. There may be thousands whose readers take
 * nothing, so these are looked at ever less often.
 */
export class WaitingSendQueues {
  readonly #levels: readonly Set<SendQueue>[] = Array.from({ length: LEVELS }, () => new Set<SendQueue>());
  readonly #levelOf = new Map<SendQueue, number>();
  #ticks = 0;
  #timer: NodeJS.Timeout | undefined;

  add(queue: SendQueue): void {
    if (!this.#levelOf.has(queue)) this.#move(queue, 0);
    this.#timer ??= setInterval(() => this.#flush(), INTERVAL);
  }

  delete(queue: SendQueue): void {
    this.#remove(queue);
    this.#stop();
  }

  #flush(): void {
    // Stryker disable next-line UpdateOperator: downwards, too, every so many of them are due
    this.#ticks++;
    const due = this.#levels.filter((_, level) => this.#ticks % 2 ** level === 0);
    for (const queue of due.flatMap((level) => [...level])) this.#look(queue);
    this.#stop();
  }

  #look(queue: SendQueue): void {
    const level = this.#levelOf.get(queue);
    // writing to one may have closed another
    if (level === undefined) return;
    const state = queue.flush();
    if (state === "done") this.#remove(queue);
    else this.#move(queue, state === "moved" ? 0 : Math.min(level + 1, LEVELS - 1));
  }

  #move(queue: SendQueue, level: number): void {
    this.#remove(queue);
    this.#levelOf.set(queue, level);
    // Stryker disable next-line OptionalChaining: each level has a set
    this.#levels[level]?.add(queue);
  }

  #remove(queue: SendQueue): void {
    const level = this.#levelOf.get(queue);
    // Stryker disable next-line ConditionalExpression: what is in no set cannot be taken out of one
    if (level === undefined) return;
    this.#levelOf.delete(queue);
    // Stryker disable next-line OptionalChaining: each level has a set
    this.#levels[level]?.delete(queue);
  }

  #stop(): void {
    if (this.#levelOf.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
