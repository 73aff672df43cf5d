import { setTimeout as delay } from "node:timers/promises";

/** Waits until something holds that no event tells of; the test's time limit ends it. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await delay(1);
}
