/** The longest time a timer can wait for, in Node.js and in browsers; a longer one fires at once. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/** By how many milliseconds a timer may be late without anything being wrong. */
export const TOLERANCE = 10;

/**
 * Calls a function after a number of milliseconds, however many, until the function returned is called. `Infinity`: never.
 *
 * Where the time was over long ago, since the process was busy or the machine slept, what has arrived meanwhile is
 * read first: an answer that is already here counts as in time.
 */
export function startTimer(time: number, act: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isStopped = false;
  const run = () => {
    if (!isStopped) act();
  };
  const wait = (rest: number) => {
    const step = Math.min(rest, LONGEST_TIMER);
    const due = Date.now() + step;
    timer = setTimeout(() => {
      if (rest > step) wait(rest - step);
      // in Node.js a timer of no time could come before what is to be read
      else if (Date.now() > due + TOLERANCE) (globalThis.setImmediate ?? setTimeout)(run);
      else act();
    }, step);
  };
  if (time !== Infinity) wait(time);
  return () => {
    isStopped = true;
    clearTimeout(timer);
  };
}
