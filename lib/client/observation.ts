import { isObject, type JsonObject } from "../shared/protocol.js";
import { startTimer } from "../shared/times.js";
import type { Requests } from "./calls/requests.js";
import type { Channels } from "./channels.js";
import { isPassing, RemoteError } from "./errors.js";
import type { Member, PresenceEvents } from "./presence-types.js";

/** An event of an observation, and what its listeners get. */
export type Told = {
  [E in keyof PresenceEvents]: [event: E, ...args: PresenceEvents[E]];
}[keyof PresenceEvents];

/** The part of an observation that its handles show. */
export interface View {
  readonly members: readonly Member[];
  readonly count: number;
  readonly isSynced: boolean;
  readonly me?: string | undefined;
  /** The reason why it has ended. */
  readonly error?: Error | undefined;
}

/** What is shown where nothing is known. */
export const NOTHING: View = { members: [], count: 0, isSynced: false };

/** Milliseconds, on average, until the list is read again where that has failed, or frames are missing. */
const PAUSE = 500;

/** The members of one channel as the server tells them, for all that look at them. */
export class Observation {
  readonly #channel: string;
  readonly #requests: Requests;
  readonly #channels: Channels;
  readonly #onEnd: () => void;
  /** The listeners of all events. */
  readonly listeners = new Set<(...event: Told) => void>();
  view = NOTHING;
  #members = new Map<string, Member>();
  /** The version of the list; 0 before there is one. */
  #version = 0;
  /** Frames that may be later than the list that is there, or is being read. */
  #frames: JsonObject[] = [];
  /** Stops the reading of the list that is under way, or is to come. */
  #stop = () => {};
  /** The newest state that was set, as JSON. */
  state: string | undefined;

  constructor(channel: string, requests: Requests, channels: Channels, onEnd: () => void) {
    this.#channel = channel;
    this.#requests = requests;
    this.#channels = channels;
    this.#onEnd = onEnd;
  }

  /** Takes note of the connection's state. */
  connect(): void {
    const { closed, isOpen } = this.#requests;
    if (closed) return this.end(closed);
    this.#pause();
    if (isOpen) void this.#read();
  }

  /** Takes what the server tells. */
  take(frame: JsonObject, error: Error | undefined): void {
    if (error) return this.end(error);
    this.#frames.push(frame);
    if (this.view.isSynced) this.#follow();
  }

  /** Makes a request with further fields. */
  ask(more: object): Promise<unknown> {
    return this.#requests.request("_presence", JSON.stringify({ channel: this.#channel, ...more }));
  }

  /** Lets go of a listener. The last one ends it. */
  leave(listener: (...event: Told) => void, reason: Error): void {
    this.listeners.delete(listener);
    if (this.listeners.size > 0) return;
    if (this.#requests.isOpen) this.ask({ end: true }).catch(() => {});
    this.end(reason);
  }

  /** Ends it; nothing comes any more. */
  end(error: Error): void {
    this.#pause();
    this.view = { ...NOTHING, error };
    this.#onEnd();
    this.#tell("end", error);
  }

  /** Reads the list, in pages; a later reading takes its place. */
  async #read(): Promise<void> {
    this.#stop();
    // what has come by now is in the list
    // Stryker disable next-line ArrayDeclaration: what has no version is passed over
    this.#frames = [];
    let isStopped = false;
    this.#stop = () => {
      isStopped = true;
    };
    const found = new Map<string, Member>();
    let first: JsonObject | undefined;
    let page: JsonObject = {};
    try {
      do {
        page = Object(await this.ask({ after: page.next })) as JsonObject;
        if (isStopped) return;
        first ??= page;
        for (const member of membersOf(page.members)) found.set(member.id, member);
      } while (page.next);
    } catch (error) {
      if (isStopped) return;
      // without a guard one has to be in the channel, and may not be back yet
      if (error instanceof RemoteError && !isPassing(error) && !this.#channels.isRejoining(this.#channel))
        this.end(error);
      else this.#readLater();
      return;
    }
    // of the first list nothing is told
    const before = this.#version ? this.#members : found;
    this.#members = found;
    this.#version = Number(first.v);
    this.#follow(before, Number(first.count), first.me as string | undefined);
  }

  #readLater(): void {
    this.#pause();
    this.#stop = startTimer(2 * Math.random() * PAUSE, () => this.#read());
  }

  /** Keeps what comes for later. */
  #pause(): void {
    this.#stop();
    if (!this.view.isSynced) return;
    this.view = { ...this.view, isSynced: false };
    this.#tell("change");
  }

  /** Brings the list up to date by the frames that wait, and reads it again where some are missing. */
  #follow(before = new Map(this.#members), count = this.view.count, me = this.view.me): void {
    const wasSynced = this.view.isSynced;
    const members = this.#members;
    let isSynced = true;
    for (const frame of this.#frames) {
      const step = Number(frame.v) - this.#version;
      // the list has already what comes late
      if (frame.resync || step > 1) isSynced = false;
      else if (step === 1) {
        this.#version++;
        count = Number(frame.count);
        // who has left and come back meanwhile is in both lists
        for (const kind of ["leave", "join", "update"]) {
          for (const member of membersOf(frame[kind])) {
            if (kind === "leave") members.delete(member.id);
            else members.set(member.id, member);
          }
        }
      }
    }
    // Stryker disable next-line ArrayDeclaration: what has no version is passed over
    this.#frames = [];
    this.view = { members: [...members.values()], count, me, isSynced };
    for (const [id, member] of members) {
      const previous = before.get(id);
      if (!previous) this.#tell("join", member);
      else if (member !== previous && shown(member) !== shown(previous)) this.#tell("update", member);
    }
    for (const [id, member] of before) if (!members.has(id)) this.#tell("leave", member);
    // a listener may have ended it
    if (this.view.error) return;
    if (!isSynced) this.#readLater();
    else if (!wasSynced) this.#tell("sync");
    this.#tell("change");
  }

  #tell(...event: Told): void {
    for (const listen of this.listeners) listen(...event);
  }
}

/** The members in a list of the server's. */
function membersOf(list: unknown): Member[] {
  return [list].flat().filter(isObject) as unknown as Member[];
}

/** The part of a member whose change is told; the number of sockets is only as new as the list. */
function shown({ info, state }: Member): string {
  return JSON.stringify([info, state]);
}
