/** Waits for Redis, but not for ever: its clients keep commands for as long as it is away. */
export async function inTime<T>(patience: number, command: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`No answer from Redis within ${patience} ms`)), patience);
    timer.unref();
  });
  try {
    return await Promise.race([command, late]);
  } finally {
    clearTimeout(timer);
  }
}
