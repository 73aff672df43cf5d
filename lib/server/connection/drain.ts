/** A connection that can be ended in a way that loses no call. */
export interface Drainable {
  readonly closed: boolean;
  /**
   * Asks the client to go, where it knows how, and else closes the connection, in a way that lets the client come back to
   * another server. Does nothing where a call is under way that this would lose, or, unless it `isOverdue`, delay others.
   */
  leave(isOverdue: boolean): void;
}

/** The most time that a drain takes by default, in milliseconds: less than the 30 s after which Kubernetes and Heroku kill. */
export const DRAIN_TIME = 20_000;

/** The interval at which connections are looked for whose turn has come, in milliseconds. */
const STEP = 20;

/** The part of the time in which all connections get their turn; the rest is for calls that go on. */
const SPREAD = 2 / 3;

/** The part of the time for which a connection waits, after its turn, for a moment without a call. */
const PATIENCE = 1 / 6;

/**
 * Ends connections one after the other, spread over most of a time. Resolves when all are closed, or when the time is
 * over.
 */
export function drain(connections: readonly Drainable[], time: number): Promise<void> {
  const begin = performance.now();
  // in no order that clients share
  const waiting = connections.map((connection) => ({ connection, turn: Math.random() * SPREAD * time }));
  return new Promise((resolve) => {
    const step = () => {
      const elapsed = performance.now() - begin;
      for (const { connection, turn } of waiting) {
        if (!connection.closed && turn <= elapsed) connection.leave(turn + PATIENCE * time <= elapsed);
      }
      if (elapsed < time && waiting.some(({ connection }) => !connection.closed)) return;
      clearInterval(timer);
      resolve();
    };
    const timer = setInterval(step, STEP);
    step();
  });
}
