import type { Marks, Selection } from "../auth/selectors.js";

/** Something that a selection may be for. */
interface Marked {
  /** What it is known by; it may change while it is in no index. */
  readonly marks: Marks;
}

/** Connections by each of their marks, so that a selection costs what it selects. */
export class ConnectionIndex<Connection extends Marked> {
  /** Most values are those of one connection, which needs no set. */
  readonly #byMark: Readonly<Record<Selection["by"], Map<string, Connection | Set<Connection>>>> = {
    sid: new Map(),
    identity: new Map(),
    sessionId: new Map(),
  };

  add(connection: Connection): void {
    for (const { by, value } of selectionsOf(connection.marks)) {
      const map = this.#byMark[by];
      const there = map.get(value);
      if (there === undefined) map.set(value, connection);
      else if (there instanceof Set) there.add(connection);
      else map.set(value, new Set([there, connection]));
    }
  }

  /** Takes a connection out, by the marks with which it was added. */
  delete(connection: Connection): void {
    for (const { by, value } of selectionsOf(connection.marks)) {
      const map = this.#byMark[by];
      const there = map.get(value);
      if (there === connection) map.delete(value);
      else if (there instanceof Set && there.delete(connection) && there.size === 0) map.delete(value);
    }
  }

  /** The connections that are selected just now. */
  select({ by, value }: Selection): Connection[] {
    const there = this.#byMark[by].get(value);
    if (there === undefined) return [];
    return there instanceof Set ? [...there] : [there];
  }
}

function selectionsOf({ sid, identity, sessionId }: Marks): Selection[] {
  const selections: Selection[] = [];
  if (sid !== undefined) selections.push({ by: "sid", value: sid });
  if (identity !== undefined) selections.push({ by: "identity", value: identity });
  if (sessionId !== undefined) selections.push({ by: "sessionId", value: sessionId });
  return selections;
}
