import type { ContenderDefinition, Feature } from "../contenders.js";
import type { Setup } from "../messages.js";
import type { Figures, Session } from "../session.js";

/** How much is done: for figures to publish, for a look, or to see that it works. */
export interface Scale {
  readonly rounds: number;
  /** Rounds of the scenarios that take long. */
  readonly longRounds: number;
  /**
   * Whether each case has a server that nothing was measured of before. Otherwise the server of a case serves those of the same
   * setup as well, since a start takes much longer than a case that is to be seen to work.
   */
  readonly freshServers: boolean;
  /** Milliseconds before the first measurement of a server, while its code is compiled. */
  readonly firstWarmUp: number;
  /** Milliseconds before each further one. */
  readonly warmUp: number;
  /** Milliseconds of a measurement. */
  readonly time: number;
  readonly fanOut: {
    readonly sockets: number;
    readonly manySockets: number;
    /** Bytes of the messages. */
    readonly sizes: readonly number[];
  };
  readonly many: {
    readonly sockets: number;
    readonly channels: number;
    /** Of how many channels each socket is a member. */
    readonly each: number;
    /** How many messages are published in one turn of the event loop. */
    readonly batches: readonly number[];
  };
  readonly rpc: {
    readonly sockets: number;
    readonly outstanding: readonly number[];
    readonly functions: readonly number[];
    /** Whether routes and clients are called, too. */
    readonly others: boolean;
  };
  readonly latency: { readonly sockets: number; readonly channels: number; readonly perSecond: number };
  readonly logins: number;
  readonly idle: number;
  /** How many messages of 16 KiB those that do not read are sent. */
  readonly stalled: { readonly sockets: number; readonly filling: number };
  readonly growth: {
    readonly sockets: readonly number[];
    readonly channels: readonly number[];
    /** Among how many servers a user is found. */
    readonly servers: readonly number[];
  };
  readonly history: {
    /** How many clients come back at once. */
    readonly returning: number;
    /** How many messages each of them has missed. */
    readonly missed: number;
    /** Among how many channels they are spread. */
    readonly channels: readonly number[];
    /** How many channels are filled to see what one takes. */
    readonly kept: number;
  };
}

/** What a scenario runs with. */
export interface Stage {
  readonly contender: ContenderDefinition;
  readonly scale: Scale;
  /** Starts the contender's server, and ends it after `use`. */
  withServer(setup: Partial<Setup>, use: (session: Session) => Promise<void>): Promise<void>;
  /** Takes down what was measured under the name of a case. */
  record(name: string, figures: Figures): void;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** What the rate and the CPU time are counted by. */
  readonly unit: string;
  readonly isLong?: boolean;
  /** What a contender must have to take part. */
  readonly needs?: Feature;
  run(stage: Stage): Promise<void>;
}

export const number = (value: number) => value.toLocaleString("en");

export const bytes = (value: number) => (value >= 1000 ? `${Math.round(value / 1000)} KB` : `${value} B`);
