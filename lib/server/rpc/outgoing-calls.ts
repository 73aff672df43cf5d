import { CallError, DisconnectedError, remoteError } from "../../shared/call-errors.js";
import { encodeCall } from "../../shared/frame-encoders.js";
import { type CallOptions, PendingCalls } from "../../shared/pending-calls.js";
import type { Answer } from "../../shared/protocol.js";

/** The calls that the server makes of one client's functions, as many at once as the limit allows. */
export class OutgoingCalls {
  readonly #calls = new PendingCalls();
  readonly #limit: number;
  readonly #send: (frame: string) => void;

  constructor(limit: number, send: (frame: string) => void) {
    this.#limit = limit;
    this.#send = send;
  }

  /** The number of calls that await their answers. */
  get size(): number {
    return this.#calls.size;
  }

  /** Calls a function. Rejects with a `CallError`, or with a `TypeError` for arguments that are no JSON. */
  call(command: string, args: unknown, options: CallOptions): Promise<unknown> {
    if (this.size >= this.#limit) {
      return Promise.reject(new CallError("Too many calls of this client are under way", "busy"));
    }
    return this.#calls.add(options, (id) => this.#send(encodeCall(`${id}`, command, args)));
  }

  /** Settles a call by the client's answer. */
  settle(fid: string, answer: Answer): void {
    const id = Number(fid);
    if (fid !== `${id}`) return;
    if (answer.ok) this.#calls.resolve(id, answer.data);
    else this.#calls.reject(id, remoteError(answer.error));
  }

  /** Rejects all calls, since the connection has closed. */
  close(): void {
    this.#calls.rejectAll(() => new DisconnectedError(true));
  }
}
