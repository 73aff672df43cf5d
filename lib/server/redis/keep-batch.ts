import type { HistoryBounds, HistoryNames, Kept, NewEntry } from "./history-log.js";

/** Messages and characters of one batch: Redis serves nobody else while it takes one. */
const MOST = 100;
const LENGTH = 262_144;

/** Has a channel's messages kept; resolves with what has become of each. */
export type Keep = (
  names: HistoryNames,
  bounds: HistoryBounds,
  entries: readonly NewEntry[],
) => Promise<readonly Kept[]>;

/** Messages of one channel that wait for the end of the present microtasks. */
interface Batch {
  readonly names: HistoryNames;
  readonly bounds: HistoryBounds;
  readonly entries: NewEntry[];
  length: number;
  readonly kept: Promise<readonly Kept[]>;
  send(): void;
}

/**
 * Has the messages kept together that are published one right after the other on one channel, so that Redis runs one script
 * for them. All keep their order.
 */
export class KeepBatch {
  readonly #keep: Keep;
  #batch: Batch | undefined;

  constructor(keep: Keep) {
    this.#keep = keep;
  }

  /** Adds a message; resolves with what has become of it. */
  async add(names: HistoryNames, bounds: HistoryBounds, entry: NewEntry): Promise<Kept> {
    if (this.#batch?.names.log !== names.log) this.flush();
    this.#batch ??= this.#begin(names, bounds);
    const batch = this.#batch;
    const index = batch.entries.push(entry) - 1;
    batch.length += entry.json.length;
    if (batch.entries.length >= MOST || batch.length >= LENGTH) this.flush();
    const kept = (await batch.kept)[index];
    if (!kept) throw new Error("Redis has not told what has become of a message");
    return kept;
  }

  /** Sends what waits, so that what is done next comes after it. */
  flush(): void {
    const batch = this.#batch;
    this.#batch = undefined;
    batch?.send();
  }

  #begin(names: HistoryNames, bounds: HistoryBounds): Batch {
    const entries: NewEntry[] = [];
    let send = () => {};
    const kept = new Promise<readonly Kept[]>((resolve) => {
      send = () => resolve(this.#keep(names, bounds, entries));
    });
    const batch = { names, bounds, entries, length: 0, kept, send };
    queueMicrotask(() => {
      if (this.#batch === batch) this.flush();
    });
    return batch;
  }
}
