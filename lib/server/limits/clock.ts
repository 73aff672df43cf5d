/** By how much the clocks of two servers may differ, in milliseconds. */
export const CLOCK_SKEW = 5_000;

/** From which difference on, in milliseconds, the wall clock was set; less is the coarseness of the two clocks. */
const STEP = 50;

/** The difference between the wall clock and the monotonic clock when this process began, in milliseconds. */
const offset = Date.now() - performance.now();

/**
 * The time by a clock that nobody sets, in milliseconds since 1970 as the wall clock had it when this process began. What
 * happens in one process is compared by it, so that a step of the wall clock changes nothing.
 */
export function steadyNow(): number {
  const wall = Date.now();
  const steady = performance.now() + offset;
  return Math.abs(wall - steady) < STEP ? wall : Math.round(steady);
}

/**
 * The time by this process's steady clock of what another server has told by its wall clock. One that is further in the
 * future than clocks may differ is not believed, and becomes now.
 */
export function toSteady(time: number): number {
  const ahead = time - Date.now();
  return steadyNow() + (ahead > CLOCK_SKEW ? 0 : ahead);
}

/** The wall clock's time of a time by the steady clock, for other servers. */
export function toWall(steady: number): number {
  return Date.now() - (steadyNow() - steady);
}
