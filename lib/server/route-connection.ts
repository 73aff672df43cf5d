import type { Socket as NetSocket } from "node:net";
import { Writable } from "node:stream";
import type { SockJSConnection } from "./socket.js";

/**
 * Stands in for the TCP socket of a request that came by RPC. Node's `ServerResponse` writes to it, and tells
 * by it when it has finished or was closed; what is written goes nowhere, since the response is recorded
 * before. It says nothing of its own accord.
 */
export class RouteConnection extends Writable {
  readonly encrypted = false;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly #report: (error: unknown) => void;
  #timeout: NodeJS.Timeout | undefined;

  constructor(
    peer: Pick<SockJSConnection, "remoteAddress" | "remotePort">,
    report: (error: unknown) => void,
  ) {
    // without a high-water mark there is no backpressure: nothing behind this could drain
    super({ decodeStrings: false, highWaterMark: Number.MAX_SAFE_INTEGER });
    this.remoteAddress = peer.remoteAddress;
    this.remotePort = peer.remotePort;
    this.#report = report;
  }

  /** This connection as Node's HTTP classes and Express know it. */
  asSocket(): NetSocket {
    return this as unknown as NetSocket;
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    return guarded(() => super.emit(event, ...args), this.#report);
  }

  override _write(_chunk: unknown, _encoding: BufferEncoding, done: () => void): void {
    this.#timeout?.refresh();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#timeout);
    done(error);
  }

  /** As `net.Socket` has it: emits `timeout` after so long without a write; 0 ends that. */
  setTimeout(milliseconds: number, listener?: () => void): this {
    clearTimeout(this.#timeout);
    this.#timeout = undefined;
    if (milliseconds > 0 && !this.destroyed) {
      this.#timeout = setTimeout(() => this.emit("timeout"), milliseconds).unref();
      if (listener) this.once("timeout", listener);
    } else if (listener) {
      this.removeListener("timeout", listener);
    }
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  address(): Record<string, never> {
    return {};
  }
}

/** Emits an event so that a listener that throws takes nothing else with it. */
export function guarded(emit: () => boolean, report: (error: unknown) => void): boolean {
  try {
    return emit();
  } catch (error) {
    report(error);
    return true;
  }
}
