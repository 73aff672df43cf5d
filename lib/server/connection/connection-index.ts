import type { Selection } from "../auth/selectors.js";
import type { VerifiedIdentity } from "../auth/token-verifier.js";

/** A connection as the index knows it. Its identity may change only while it is not in the index. */
export interface IndexedConnection {
  readonly sid: string;
  readonly identity: Pick<VerifiedIdentity<unknown>, "key" | "sessionId"> | undefined;
}

/** Connections by their `sid`, identity and session, so that a selection costs what it selects. */
export class ConnectionIndex<Connection extends IndexedConnection> {
  /** Most values are those of one connection, which needs no set. */
  readonly #maps: Readonly<Record<Selection["by"], Map<string, Connection | Set<Connection>>>> = {
    sid: new Map(),
    identity: new Map(),
    sessionId: new Map(),
  };

  add(connection: Connection): void {
    const { sid, identity } = connection;
    this.#put("sid", sid, connection);
    if (identity?.key !== undefined) this.#put("identity", identity.key, connection);
    if (identity?.sessionId !== undefined) this.#put("sessionId", identity.sessionId, connection);
  }

  /** Takes a connection out, which has the identity with which it was added. */
  delete(connection: Connection): void {
    const { sid, identity } = connection;
    this.#take("sid", sid, connection);
    if (identity?.key !== undefined) this.#take("identity", identity.key, connection);
    if (identity?.sessionId !== undefined) this.#take("sessionId", identity.sessionId, connection);
  }

  #put(by: Selection["by"], value: string, connection: Connection): void {
    const map = this.#maps[by];
    const there = map.get(value);
    if (there === undefined) map.set(value, connection);
    else if (there instanceof Set) there.add(connection);
    else map.set(value, new Set([there, connection]));
  }

  #take(by: Selection["by"], value: string, connection: Connection): void {
    const map = this.#maps[by];
    const there = map.get(value);
    if (there === connection) map.delete(value);
    else if (there instanceof Set && there.delete(connection) && there.size === 0) map.delete(value);
  }

  /** The connections that a selection fits at present. */
  select({ by, value }: Selection): Connection[] {
    const there = this.#maps[by].get(value);
    if (there === undefined) return [];
    return there instanceof Set ? [...there] : [there];
  }
}
