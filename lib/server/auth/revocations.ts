import { CLOSE } from "../../shared/close-codes.js";
import { steadyNow } from "../limits/clock.js";
import type { Selection } from "./selectors.js";
import type { VerifiedIdentity } from "./token-verifier.js";

/** A command about the identities that a selection fits. */
export interface SelectionCommand {
  readonly id: string;
  readonly selection: Selection;
  /** The time of the command, by the steady clock: it concerns tokens that were asked for until then. */
  readonly at: number;
  /** Whether it is about tokens that are asked for later, too, since the session has ended for good. */
  readonly isFinal?: boolean;
}

/** A revocation: sockets that must be closed, and why. */
export interface Revocation extends SelectionCommand {
  readonly code: number;
  readonly reason: string;
  /** Its text in Redis. */
  readonly entry?: string;
}

/** The close code and reason of a revoked identity, and its revocation's id if that is still known. */
export type Revoked = Pick<Revocation, "code" | "reason"> & Partial<Pick<Revocation, "id">>;

/** The number of commands of a kind that are kept, here and in Redis, and the time, in milliseconds. */
export const MOST_REVOCATIONS = 10_000;
export const REVOCATION_LIFE = 3_600_000;

/** The number of commands of a kind that are kept here as long as they may concern a token. */
export const MOST_HOLDING = 100_000;

/** The time by which a token may outlive its life on its way, in milliseconds: both sides may be slow. */
export const ON_ITS_WAY = 60_000;

/**
 * The newest command for each selection, so that it holds for tokens that are on their way, too. Each kind of selection is
 * bounded by itself, so that a flood of one kind takes nothing from the others.
 */
class SelectionCommands<Command extends SelectionCommand> {
  readonly #kinds: Readonly<Record<Selection["by"], CommandsOfKind<Command>>>;

  /** `tokenTtl` is the life of a token in milliseconds. */
  constructor(tokenTtl: number) {
    const holding = tokenTtl + ON_ITS_WAY;
    this.#kinds = {
      sid: new CommandsOfKind(holding),
      identity: new CommandsOfKind(holding),
      sessionId: new CommandsOfKind(holding),
    };
  }

  /** The newest one for a selection. */
  of({ by, value }: Selection): Command | undefined {
    return this.#kinds[by].get(value);
  }

  /** Keeps one; says whether it is new. One that is so old that it may have been forgotten is not. */
  add(command: Command): boolean {
    const isKnown = this.of(command.selection)?.id === command.id;
    if (isKnown || command.at <= steadyNow() - REVOCATION_LIFE) return false;
    this.#kinds[command.selection.by].add(command);
    return true;
  }

  /** Gives the command that holds for an identity, whose token was asked for before it; or says that one may be forgotten. */
  protected holding({ key, sessionId, issuedAt }: Issued): Command | "forgotten" | undefined {
    const { identity, sessionId: bySession } = this.#kinds;
    return identity.find(key, issuedAt) ?? bySession.find(sessionId, issuedAt);
  }
}

/** The owner of a token, and the time of its request. */
type Issued = Pick<VerifiedIdentity<unknown>, "key" | "sessionId" | "issuedAt">;

/** The revocations: the identities, sessions and sockets that were disconnected. */
export class Revocations extends SelectionCommands<Revocation> {
  /** Gives why an identity is revoked. */
  find(issued: Issued): Revoked | undefined {
    const revocation = this.holding(issued);
    return revocation === "forgotten" ? CLOSE.disconnected : revocation;
  }
}

/** The refreshes: the identities, sessions and sockets that were asked for new tokens. */
export class Refreshes extends SelectionCommands<SelectionCommand> {
  /** Says whether an identity is one from before a refresh, so that its client has to be asked for a new one. */
  concern(issued: Issued): boolean {
    return this.holding(issued) !== undefined;
  }
}

/** The newest commands of one kind of selection. */
class CommandsOfKind<Command extends SelectionCommand> {
  readonly #holding: number;
  /** By the values of their selections, in the order in which they have come. */
  readonly #newest = new Map<string, Command>();
  /** The time of the newest command that had to make room although it might concern a token. */
  #floor = Number.NEGATIVE_INFINITY;

  /** `holding` is for how many milliseconds a command may hold for a token. */
  constructor(holding: number) {
    this.#holding = holding;
  }

  get(value: string): Command | undefined {
    return this.#newest.get(value);
  }

  add(command: Command): void {
    const { value } = command.selection;
    const before = this.#newest.get(value);
    // a session that has ended stays so, whatever is said of it later
    if (before && !command.isFinal && (before.isFinal || command.at < before.at)) return;
    this.#newest.delete(value);
    this.#newest.set(value, command);
    this.#forget();
  }

  find(value: string | undefined, issuedAt: number): Command | "forgotten" | undefined {
    if (value === undefined) return undefined;
    const command = this.#newest.get(value);
    if (command && (command.isFinal || issuedAt <= command.at)) return command;
    // it cannot be told any more whom those were for: whoever comes with so old a token has to ask for a new one
    return issuedAt <= this.#floor ? "forgotten" : undefined;
  }

  #forget(): void {
    const now = steadyNow();
    for (const [value, { at }] of this.#newest) {
      const age = now - at;
      const mayHold = age < this.#holding;
      const most = mayHold ? MOST_HOLDING : MOST_REVOCATIONS;
      if (age < REVOCATION_LIFE && this.#newest.size <= most) return;
      this.#newest.delete(value);
      if (mayHold) this.#floor = Math.max(this.#floor, at);
    }
  }
}
