import { setTimeout as delay } from "node:timers/promises";

/** How long is waited at the most, in milliseconds; the test's own time limit mostly ends before. */
const PATIENCE = 30_000;

/** Resolves when the errors that the server has reported by now were told, which it does in turns of their own. */
export function reported(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Waits until something holds that no event tells of. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const begin = performance.now();
  while (!(await holds())) {
    // it would go on when its test is over, beside all others
    if (performance.now() - begin > PATIENCE) throw new Error("The condition did not hold in time");
    await delay(1);
  }
}
