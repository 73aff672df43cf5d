import type { EventEmitter } from "node:events";
import type { Socket as NetSocket } from "node:net";
import { Writable } from "node:stream";
import type { SockJSConnection } from "../transport/socket.js";

/** A callback for what listeners throw. */
export interface ErrorObserver {
  report(error: unknown): void;
}

export interface ConnectionObserver extends ErrorObserver {
  /** Nothing was written for as long as `setTimeout` has said. */
  timedOut(): void;
}

/** Without a high-water mark there is no backpressure: nothing behind this could drain. */
const OPTIONS = { decodeStrings: false, highWaterMark: Number.MAX_SAFE_INTEGER };

/**
 * Stands in for the TCP socket of a request that came by RPC. Node's `ServerResponse` writes to it, and tells
 * by it when it has finished or was closed; what is written goes nowhere, since the response is recorded
 * before. It says nothing of its own accord.
 */
export class RouteConnection extends Writable {
  readonly encrypted = false;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly #observer: ConnectionObserver;
  #timeout: NodeJS.Timeout | undefined;

  constructor(peer: Pick<SockJSConnection, "remoteAddress" | "remotePort">, observer: ConnectionObserver) {
    super(OPTIONS);
    this.remoteAddress = peer.remoteAddress;
    this.remotePort = peer.remotePort;
    this.#observer = observer;
  }

  /** This connection as Node's HTTP classes and Express know it. */
  asSocket(): NetSocket {
    return this as unknown as NetSocket;
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    // nobody has to listen, not even to errors
    if (this.listenerCount(event) === 0) return false;
    return emitGuarded(this, super.emit, event, args, this.#observer);
  }

  override _write(_chunk: unknown, _encoding: BufferEncoding, done: () => void): void {
    this.refresh();
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
      this.#timeout = setTimeout(() => this.#expire(), milliseconds).unref();
      if (listener) this.once("timeout", listener);
    } else if (listener) {
      this.removeListener("timeout", listener);
    }
    return this;
  }

  #expire(): void {
    this.#observer.timedOut();
    this.emit("timeout");
  }

  /** Begins the time of `setTimeout` anew. */
  refresh(): void {
    this.#timeout?.refresh();
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
export function emitGuarded(
  emitter: EventEmitter,
  emit: (event: string | symbol, ...args: unknown[]) => unknown,
  event: string | symbol,
  args: readonly unknown[],
  observer: ErrorObserver,
): boolean {
  try {
    return emit.call(emitter, event, ...args) as boolean;
  } catch (error) {
    observer.report(error);
    return true;
  }
}
