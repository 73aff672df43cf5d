/** The times of presence, in milliseconds. */
export interface PresenceTimes {
  /** For how long changes of a channel are collected before the next are written, or told. */
  readonly collect: number;
  /**
   * For how long it may take until all servers have written their members again where Redis was emptied: no server that is
   * alive goes without a look for longer. Until then nobody leaves for not being there.
   */
  readonly settle: number;
  /** After how long what has failed is tried again, and members for whom there was no place. */
  readonly retry: number;
  readonly full: number;
}

export const PRESENCE_TIMES: PresenceTimes = { collect: 50, settle: 15_000, retry: 1000, full: 5000 };
