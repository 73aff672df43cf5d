import { Counts } from "./counts.js";
import type { HttpRefusal } from "./http-refusal.js";
import type { Limits } from "./options.js";

const TOO_MANY: HttpRefusal = { status: 429, reason: "Too many connections", retryAfter: 5 };
const FULL: HttpRefusal = { status: 503, reason: "Too many unauthenticated connections", retryAfter: 5 };

/** The places of connections: how many each IP has, and how many there are that have not authenticated. */
export class PendingConnections {
  readonly #limits: Pick<Limits, "connectionsPerIp" | "unauthenticatedConnections">;
  readonly #perIp: Counts;
  #unauthenticated = 0;

  constructor(limits: Pick<Limits, "connectionsPerIp" | "unauthenticatedConnections">) {
    this.#limits = limits;
    this.#perIp = new Counts(limits.connectionsPerIp);
  }

  /** Takes a place for a connection that is about to open, or says why there is none. */
  open(ip: string): PendingConnection | HttpRefusal {
    if (!this.#perIp.hasRoom(ip)) return TOO_MANY;
    if (this.#unauthenticated >= this.#limits.unauthenticatedConnections) return FULL;
    this.#perIp.add(ip);
    this.#unauthenticated++;
    return new PendingConnection(ip, this);
  }

  /** Takes note that one more has authenticated. */
  authenticated(): void {
    this.#unauthenticated--;
  }

  /** Gives a place back. */
  leave({ ip, isAuthenticated }: PendingConnection): void {
    if (!isAuthenticated) this.#unauthenticated--;
    this.#perIp.delete(ip);
  }
}

/**
 * - `verifying`: the application decides
 * - `entering`: it may open
 * - `inside`: it is open
 * - `gone`: its place is free again
 */
type State = "verifying" | "entering" | "inside" | "gone";

/** A connection that may come, or is there, and its place. */
export class PendingConnection {
  readonly ip: string;
  /** What `verifyConnection` has handed on. */
  data: unknown;
  state: State = "verifying";
  isAuthenticated = false;
  readonly #all: PendingConnections;

  constructor(ip: string, all: PendingConnections) {
    this.ip = ip;
    this.#all = all;
  }

  /** Takes note that it has an identity. */
  authenticated(): void {
    if (this.isAuthenticated || this.state === "gone") return;
    this.isAuthenticated = true;
    this.#all.authenticated();
  }

  /** Gives its place back. */
  leave(): void {
    if (this.state === "gone") return;
    this.state = "gone";
    this.#all.leave(this);
  }
}
