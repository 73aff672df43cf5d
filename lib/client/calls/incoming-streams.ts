import { onAbort } from "../../shared/abort.js";
import { AbortedError, DisconnectedError } from "../errors.js";
import { Stream } from "./stream.js";

/** Options of a stream. */
export interface StreamLimits {
  /** Items that may be on their way or wait to be read. */
  readonly window: number;
  readonly signal: AbortSignal | undefined;
}

/** The streams that the server answers calls with, by the ids of the calls. */
export class IncomingStreams {
  readonly #send: (rpc: string, fields: string) => void;
  readonly #streams = new Map<number, Stream>();

  /** `send` makes a request that gets no reply; `fields` are those of its `req`. */
  constructor(send: (rpc: string, fields: string) => void) {
    this.#send = send;
  }

  /** Begins one. Its items are asked for as they are read. */
  open(id: number, { window = 1, signal }: Partial<StreamLimits>): Stream {
    let read = 0;
    let forget = () => {};
    const grant = (items: number) => this.#send("_credit", `"uuid":${id},"items":${items | 0}`);
    const stream = new Stream(window, {
      start: () => grant(window),
      read: () => {
        if (++read < window / 2 || !this.#streams.has(id)) return;
        grant(read);
        read = 0;
      },
      stop: () => {
        forget();
        // not where the server has ended it
        if (this.#streams.delete(id)) this.#send("_cancel", `"uuid":${id}`);
      },
    });
    this.#streams.set(id, stream);
    // Stryker disable next-line OptionalChaining: it is called where there is a signal
    forget = onAbort(signal, () => stream.end(new AbortedError(signal?.reason)));
    return stream;
  }

  /** Takes an item; of a stream that has ended here meanwhile it is for nobody. */
  push(id: number, item: unknown): void {
    this.#streams.get(id)?.push(item);
  }

  /** Takes the end of one, likewise. */
  end(id: number, error?: Error): void {
    const stream = this.#streams.get(id);
    this.#streams.delete(id);
    stream?.end(error);
  }

  /** Ends all, since the connection was lost. */
  disconnect(cause: unknown): void {
    for (const id of [...this.#streams.keys()]) this.end(id, new DisconnectedError(true, undefined, cause));
  }
}
