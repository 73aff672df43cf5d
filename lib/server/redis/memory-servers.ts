import {
  type Beat,
  type ListedServer,
  MOST_NAMED,
  type ServerNames,
  type ServerTimes,
} from "./server-list.js";

interface Entry {
  at: number;
  json: string;
  isGone: boolean;
}

/** The lists of servers of an embedded store, with the operations of the scripts. Its servers are of one process. */
export class MemoryServers {
  readonly #lists = new Map<string, Map<string, Entry>>();

  beat(names: ServerNames, times: ServerTimes, id: string, json: string): Beat {
    const { overdueAfter, deadAfter, goneFor } = times;
    const now = Date.now();
    const list = this.#of(names);
    const before = list.get(id);
    const ageOf = ({ at }: Entry) => now - at;
    const wasAlive = before !== undefined && !before.isGone && ageOf(before) <= deadAfter;
    list.set(id, { at: now, json, isGone: false });
    for (const [other, entry] of list) if (entry.isGone && ageOf(entry) > goneFor) list.delete(other);
    const present = [...list].filter(([, { isGone }]) => !isGone);
    const dead = present.filter(([, entry]) => ageOf(entry) > deadAfter);
    const overdue = present.filter(([, entry]) => ageOf(entry) > overdueAfter && ageOf(entry) <= deadAfter);
    const idsOf = (entries: typeof present) => entries.slice(0, MOST_NAMED).map(([other]) => other);
    return { wasAlive, alive: present.length - dead.length, dead: idsOf(dead), overdue: idsOf(overdue) };
  }

  list(names: ServerNames): ListedServer[] {
    const now = Date.now();
    return [...this.#of(names)].map(([id, { at, json, isGone }]) => ({
      id,
      at,
      age: now - at,
      isGone,
      json,
    }));
  }

  forget(names: ServerNames, { deadAfter }: ServerTimes, id: string): boolean {
    const entry = this.#of(names).get(id);
    if (!entry || entry.isGone || Date.now() - entry.at <= deadAfter) return false;
    entry.isGone = true;
    return true;
  }

  end(names: ServerNames, id: string): void {
    const entry = this.#of(names).get(id);
    if (entry && !entry.isGone) Object.assign(entry, { at: 0, json: "" });
  }

  #of({ alive }: ServerNames): Map<string, Entry> {
    let list = this.#lists.get(alive);
    if (!list) {
      list = new Map();
      this.#lists.set(alive, list);
    }
    return list;
  }
}
