import { addressKey } from "./address.js";
import { Counts } from "./counts.js";
import type { Limits } from "./limits.js";

/** The reason why there is no place: the address or the server has reached its limit. */
export type NoPlace = "address full" | "server full";

type PlaceLimits = Pick<
  Limits,
  "connectionsPerIp" | "unauthenticatedConnections" | "unauthenticatedConnectionsPerIp"
>;

/** The places of connections: how many each address has, and how many there are that have not authenticated. */
export class PendingConnections {
  readonly #limits: PlaceLimits;
  readonly #perAddress: Counts;
  /** Those that have not authenticated. A unix socket has no address, and so no share either. */
  readonly #strangersPerAddress: Counts;
  #unauthenticated = 0;

  constructor(limits: PlaceLimits) {
    this.#limits = limits;
    this.#perAddress = new Counts(limits.connectionsPerIp);
    this.#strangersPerAddress = new Counts(limits.unauthenticatedConnectionsPerIp);
  }

  /** Takes a place for a connection that is about to open, or says why there is none. */
  open(ip: string | undefined): PendingConnection | NoPlace {
    const address = addressKey(ip);
    if (!this.#perAddress.hasRoom(address)) return "address full";
    if (address !== "" && !this.#strangersPerAddress.hasRoom(address)) return "address full";
    if (this.#unauthenticated >= this.#limits.unauthenticatedConnections) return "server full";
    this.#perAddress.add(address);
    if (address !== "") this.#strangersPerAddress.add(address);
    this.#unauthenticated++;
    return new PendingConnection(address, this);
  }

  /** Takes note that one more has authenticated. */
  authenticated({ address }: PendingConnection): void {
    this.#unauthenticated--;
    this.#strangersPerAddress.delete(address);
  }

  /** Gives a place back. */
  leave(connection: PendingConnection): void {
    if (!connection.isAuthenticated) this.authenticated(connection);
    this.#perAddress.delete(connection.address);
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
  /** The key by which the address is counted. */
  readonly address: string;
  /** The `data` of `verifyConnection`'s answer. */
  data: unknown;
  state: State = "verifying";
  isAuthenticated = false;
  readonly #all: PendingConnections;

  constructor(address: string, all: PendingConnections) {
    this.address = address;
    this.#all = all;
  }

  /** Takes note that it has an identity. */
  authenticated(): void {
    if (this.isAuthenticated || this.state === "gone") return;
    this.isAuthenticated = true;
    this.#all.authenticated(this);
  }

  /** Gives its place back. */
  leave(): void {
    if (this.state === "gone") return;
    this.state = "gone";
    this.#all.leave(this);
  }
}
