import {
  encodePublishedChange,
  entriesKey,
  entryOf,
  type ListVersion,
  type MemberBatch,
  type MemberChange,
  type MemberNames,
  type MemberOutcome,
  type MemberOutcomes,
  type MemberPage,
  type MemberRecord,
  newListEpoch,
  type PublishedChange,
  VERSION_LIFE,
} from "./member-list.js";

interface Stored extends Omit<MemberRecord, "id" | "sockets"> {
  info: string;
  state: string;
  stateAt: number;
  since: number;
  /** Sockets by server. */
  readonly entries: Map<string, number>;
  /** Until when it stays without a socket. */
  until: number | undefined;
}

interface List {
  epoch: string;
  version: number;
  readonly members: Map<string, Stored>;
  /** When the version is forgotten, without members. */
  expires: number;
}

type Changes = { [Name in "joined" | "refilled" | "updated"]: MemberRecord[] } & {
  left: string[];
  sockets: [string, number][];
};

/** A batch while it is carried out. */
interface Run {
  readonly batch: MemberBatch;
  readonly list: List;
  readonly own: Map<string, number>;
  /** The server that `dead` is about, with its entries. */
  readonly dead: (NonNullable<MemberBatch["dead"]> & { readonly entries: Map<string, number> }) | undefined;
  readonly now: number;
  readonly changes: Changes;
}

/** The members of an embedded store's channels, with the operations of the scripts. */
export class MemoryMembers {
  readonly #lists = new Map<string, List>();
  /** The entries of each server, with the times at which they were written. */
  readonly #entries = new Map<string, Map<string, number>>();

  /** The number of lists, including those that have expired since the last sweep. */
  get size(): number {
    return this.#lists.size;
  }

  /** Makes changes, and publishes them by the function that is given. */
  change(
    channelPrefix: string,
    names: MemberNames,
    batch: MemberBatch,
    publish: (payload: string) => void,
  ): MemberOutcomes {
    const now = Date.now();
    const known = this.#lists.get(names.members);
    const isKnown = known !== undefined && (known.members.size > 0 || known.expires > now);
    const list: List = isKnown ? known : { epoch: "", version: 0, members: new Map(), expires: 0 };
    const before: ListVersion = { epoch: list.epoch, version: list.version };
    const entriesOf = (server: string) => this.#entriesOf(entriesKey(channelPrefix, names.partition, server));
    const changes: Changes = { joined: [], refilled: [], updated: [], left: [], sockets: [] };
    const dead = batch.dead && { ...batch.dead, entries: entriesOf(batch.dead.server) };
    const run: Run = { batch, list, own: entriesOf(batch.server), dead, now, changes };
    const outcomes = batch.changes.map((change) => carryOut(run, change));
    if (Object.values(changes).some(({ length }) => length > 0)) {
      if (list.epoch === "") list.epoch = newListEpoch();
      list.version++;
      list.expires = now + VERSION_LIFE;
      this.#lists.set(names.members, list);
      const at = { epoch: list.epoch, version: list.version };
      const change: PublishedChange = { at, count: list.members.size, ...changes };
      publish(encodePublishedChange(change, batch.isCount));
    }
    this.#forgetEmpty();
    return { before, after: { epoch: list.epoch, version: list.version }, outcomes };
  }

  /** Reads all members at once. */
  read(names: MemberNames): MemberPage {
    const {
      epoch = "",
      version = 0,
      members = new Map<string, Stored>(),
    } = this.#lists.get(names.members) ?? {};
    return {
      at: { epoch, version },
      count: members.size,
      members: [...members].map(([id, stored]) => toRecord(id, stored)),
      next: undefined,
    };
  }

  /** Gives the time, and some entries that were written up to a time. */
  entries(key: string, until: number, count: number): { now: number; entries: string[] } {
    const written = [...(this.#entries.get(key) ?? [])].filter(([, time]) => time <= until);
    return { now: Date.now(), entries: written.slice(0, count).map(([entry]) => entry) };
  }

  /** Clears away what has expired. */
  sweep(): void {
    const now = Date.now();
    for (const [key, { members, expires }] of this.#lists) {
      if (members.size === 0 && expires <= now) this.#lists.delete(key);
    }
  }

  #entriesOf(key: string): Map<string, number> {
    let entries = this.#entries.get(key);
    if (!entries) {
      entries = new Map();
      this.#entries.set(key, entries);
    }
    return entries;
  }

  // Stryker disable next-line BlockStatement: it only frees memory
  #forgetEmpty(): void {
    for (const [key, entries] of this.#entries) if (entries.size === 0) this.#entries.delete(key);
  }
}

function carryOut(run: Run, change: MemberChange): MemberOutcome {
  const { list, batch, own, now } = run;
  const { id } = change;
  const entry = entryOf(id, batch.channel);
  const member = list.members.get(id);
  switch (change.type) {
    case "put":
    case "refill":
      return member ? putAgain(run, change, member, entry) : put(run, change, entry);
    case "drop":
      return drop(run, change, member, entry);
    case "due":
      if (!member || member.entries.size > 0) {
        if (!member?.entries.has(batch.server)) own.delete(entry);
        return { type: "gone" };
      }
      if ((member.until ?? 0) <= now) return leave(run, id, member, entry);
      own.set(entry, now);
      return { type: "grace", member: toRecord(id, member), wait: (member.until ?? 0) - now };
    case "dead":
      return dropDead(run, change, member, entry);
  }
}

function put(
  { list, batch, own, now, changes }: Run,
  change: Extract<MemberChange, { type: "put" | "refill" }>,
  entry: string,
): MemberOutcome {
  const { id, sockets, info } = change;
  const isRefill = change.type === "refill";
  if (!isRefill && list.members.size >= batch.limit) return { type: "full" };
  if (isRefill && sockets === 0 && change.grace <= 0) return { type: "gone" };
  const member: Stored = {
    info,
    state: change.state ?? "null",
    stateAt: isRefill ? change.stateAt : change.state === undefined ? 0 : now,
    since: isRefill ? change.since : now,
    entries: new Map(sockets > 0 ? [[batch.server, sockets]] : []),
    until: isRefill && sockets === 0 ? now + change.grace : undefined,
  };
  list.members.set(id, member);
  own.set(entry, now);
  const record = toRecord(id, member);
  changes[isRefill ? "refilled" : "joined"].push(record);
  return { type: "joined", member: record };
}

function putAgain(
  { batch, own, now, changes }: Run,
  change: Extract<MemberChange, { type: "put" | "refill" }>,
  member: Stored,
  entry: string,
): MemberOutcome {
  const { id, sockets, info, state } = change;
  const had = totalOf(member);
  let differs: boolean;
  if (sockets > 0) {
    member.entries.set(batch.server, sockets);
    member.until = undefined;
  } else {
    member.entries.delete(batch.server);
    if (member.entries.size === 0 && change.type === "refill") member.until ??= now + change.grace;
  }
  if (change.type === "refill") {
    differs = change.stateAt > member.stateAt && change.state !== member.state;
    if (differs) Object.assign(member, { state: change.state, stateAt: change.stateAt });
    member.since = Math.min(member.since, change.since);
  } else {
    differs = info !== member.info || (state !== undefined && state !== member.state);
    member.info = info;
    if (state !== undefined && state !== member.state) Object.assign(member, { state, stateAt: now });
  }
  own.set(entry, now);
  const record = toRecord(id, member);
  if (differs) changes[change.type === "put" ? "updated" : "refilled"].push(record);
  else if (record.sockets !== had) changes.sockets.push([id, record.sockets]);
  return { type: differs ? "updated" : "there", member: record };
}

function drop(
  run: Run,
  { id, grace }: Extract<MemberChange, { type: "drop" }>,
  member: Stored | undefined,
  entry: string,
): MemberOutcome {
  const { batch, own, now, changes } = run;
  if (!member) {
    own.delete(entry);
    return { type: "gone" };
  }
  const had = totalOf(member);
  member.entries.delete(batch.server);
  const due = Math.max(member.until ?? 0, now + grace);
  if (member.entries.size === 0 && due <= now) return leave(run, id, member, entry);
  member.until = due > now ? due : undefined;
  if (totalOf(member) !== had) changes.sockets.push([id, totalOf(member)]);
  if (member.entries.size > 0) {
    own.delete(entry);
    return { type: "there", member: toRecord(id, member) };
  }
  own.set(entry, now);
  return { type: "grace", member: toRecord(id, member), wait: due - now };
}

function dropDead(
  { own, dead, now, changes }: Run,
  { id, grace }: Extract<MemberChange, { type: "dead" }>,
  member: Stored | undefined,
  entry: string,
): MemberOutcome {
  if (!dead) return { type: "gone" };
  const written = dead.entries.get(entry);
  if (written === undefined || written > dead.at) return { type: "gone" };
  dead.entries.delete(entry);
  if (!member) return { type: "gone" };
  const had = totalOf(member);
  if (member.entries.delete(dead.server)) member.until = Math.max(member.until ?? 0, now + grace);
  member.until ??= now + grace;
  if (totalOf(member) !== had) changes.sockets.push([id, totalOf(member)]);
  if (member.entries.size > 0) return { type: "gone" };
  own.set(entry, now);
  return { type: "grace", member: toRecord(id, member), wait: Math.max(0, member.until - now) };
}

function leave({ list, own, changes }: Run, id: string, member: Stored, entry: string): MemberOutcome {
  list.members.delete(id);
  own.delete(entry);
  changes.left.push(id);
  return { type: "left", member: toRecord(id, member) };
}

function toRecord(id: string, member: Stored): MemberRecord {
  const { info, state, stateAt, since } = member;
  return { id, info, state, stateAt, since, sockets: totalOf(member) };
}

function totalOf({ entries }: Stored): number {
  let sum = 0;
  for (const sockets of entries.values()) sum += sockets;
  return sum;
}
