/** The waits between attempts, in milliseconds. */
export interface BackoffOptions {
  /** The longest wait before the second attempt; it doubles with each further one. Default 500. */
  min?: number | undefined;
  /** The longest wait at all. Default 20,000. */
  max?: number | undefined;
  /** The time that a connection has to last for the waits to start over, unless its server was going. Default 5,000. */
  resetAfter?: number | undefined;
}

/**
 * The wait before the next attempt after a number of failures in a row: up to a bound that doubles, so that clients that
 * were lost together do not come back together. The first wait may be nothing; each further one is at least half of its
 * bound, so that a few short ones in a row do not use up the attempts before the server is back, and leave a long one.
 */
export function backoff(
  failures: number,
  { min, max }: { readonly min: number; readonly max: number },
  random: () => number = Math.random,
): number {
  const bound = Math.min(max, min * 2 ** (failures - 1));
  return bound * (failures > 1 ? 0.5 + random() / 2 : random());
}
