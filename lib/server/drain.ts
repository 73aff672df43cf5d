/** A connection that can be closed when it is idle. */
export interface Drainable {
  /** Whether no call of either side is under way. */
  readonly isIdle: boolean;
  readonly closed: boolean;
  /** Closes it, in a way that lets the client come back to another server. */
  leave(): void;
}

/** How often it is looked for connections whose turn has come, in milliseconds. */
const STEP = 20;

/** The part of the time in which all connections get their turn; the rest is for calls that go on. */
const SPREAD = 2 / 3;

/**
 * Closes connections one after the other, spread over most of a time, each when its calls have ended. Resolves when all
 * are closed, or when the time is over.
 */
export function drain(connections: readonly Drainable[], time: number): Promise<void> {
  const begin = performance.now();
  // in no order that clients share
  const waiting = connections.map((connection) => ({ connection, turn: Math.random() * SPREAD * time }));
  return new Promise((resolve) => {
    const step = () => {
      const elapsed = performance.now() - begin;
      for (const { connection, turn } of waiting) {
        if (!connection.closed && turn <= elapsed && connection.isIdle) connection.leave();
      }
      if (elapsed < time && waiting.some(({ connection }) => !connection.closed)) return;
      clearInterval(timer);
      resolve();
    };
    const timer = setInterval(step, STEP);
    step();
  });
}
