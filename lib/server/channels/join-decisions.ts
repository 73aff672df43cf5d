/** A decision of the guards on a client's join. */
export interface JoinDecision {
  /** Whether the channel was emptied, or its socket put out of it, meanwhile: then it has to be made anew. */
  isOverruled: boolean;
}

/** The decisions on joins that are under way. A socket has no more than one for each channel. */
export class JoinDecisions<Member> {
  readonly #byChannel = new Map<string, Map<Member, JoinDecision>>();

  begin(member: Member, channel: string): JoinDecision {
    const decision: JoinDecision = { isOverruled: false };
    const members = this.#byChannel.get(channel);
    if (members) members.set(member, decision);
    else this.#byChannel.set(channel, new Map([[member, decision]]));
    return decision;
  }

  end(member: Member, channel: string): void {
    const members = this.#byChannel.get(channel);
    members?.delete(member);
    if (members?.size === 0) this.#byChannel.delete(channel);
  }

  /** Has the decision on one socket's join made anew, or without a socket those on all joins of a channel. */
  overrule(channel: string, member?: Member): void {
    for (const [decided, decision] of this.#byChannel.get(channel) ?? []) {
      if (member === undefined || decided === member) decision.isOverruled = true;
    }
  }
}
