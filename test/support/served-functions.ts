/** What a process lets that of the tests call. What they take and give goes as JSON. */
// biome-ignore lint/suspicious/noExplicitAny: any function, and `unknown` arguments would allow none
export type Functions = Record<string, (...args: any[]) => unknown>;

export interface Call {
  readonly id: number;
  readonly name: string;
  readonly args: unknown[];
}

export interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

const die = () => process.exit(1);

/** Ends this process with that of the tests, in whatever way that ends; to be called before anything is waited for. */
export function endWithTests(): void {
  if (!process.connected) die();
  process.on("disconnect", die);
}

/** Lets the process of the tests call functions of this one. The function that it gives lets go of that process. */
export function serveFunctions(functions: Functions): () => void {
  const answer = (answered: Answer) => process.send?.(answered);
  process.on("message", async ({ id, name, args }: Call) => {
    try {
      answer({ id, value: await functions[name]?.(...args) });
    } catch (error) {
      answer({ id, error: String(error) });
    }
  });
  answer({ id: 0 });
  return () => {
    process.off("disconnect", die);
    process.disconnect();
  };
}

/** Milliseconds by a clock that nobody sets, and that all processes of a machine share. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
