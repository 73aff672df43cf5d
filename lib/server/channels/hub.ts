/** What the hub knows of a member: its channels, and a way to hand it a frame. */
export interface Member {
  /** The channels that it has joined; kept by the hub. */
  readonly channels: Record<string, true>;
}

/**
 * Who is in which channel, in both directions, so that leaving costs what the member has and not what the
 * server has. It does no I/O.
 */
export class Hub<M extends Member> {
  readonly #channels = new Map<string, Set<M>>();

  has(member: M, channel: string): boolean {
    return member.channels[channel] === true;
  }

  add(member: M, channel: string): void {
    const members = this.#channels.get(channel);
    if (members) members.add(member);
    else this.#channels.set(channel, new Set([member]));
    member.channels[channel] = true;
  }

  remove(member: M, channel: string): void {
    const members = this.#channels.get(channel);
    members?.delete(member);
    if (members?.size === 0) this.#channels.delete(channel);
    delete member.channels[channel];
  }

  /** The names of all channels with a member. */
  channels(): string[] {
    return [...this.#channels.keys()];
  }

  /** A channel's members, as they are now. */
  members(channel: string): ReadonlySet<M> {
    return this.#channels.get(channel) ?? NOBODY;
  }
}

const NOBODY: ReadonlySet<never> = new Set();
