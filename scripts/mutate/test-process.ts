import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Order, Result } from "./messages.js";

/** A process that runs tests, and is replaced by another one where it has hung, crashed, or been left unclean by a run. */
export class TestProcess {
  readonly #tree: string;
  #child: ChildProcess | undefined;
  #isFresh = true;

  /** @param tree The copy of the repository whose tests run. */
  constructor(tree: string) {
    this.#tree = tree;
  }

  /** Runs tests, for a time in milliseconds at most. A failure counts only if it does not come from earlier runs. */
  async run(order: Order, limit: number): Promise<Result> {
    const wasFresh = this.#child === undefined || this.#isFresh;
    const result = await this.#run(order, limit);
    if (result.isClean) return result;
    await this.end();
    return wasFresh || result.outcome === "passed" ? result : this.run(order, limit);
  }

  async end(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    // with all processes that its tests have started
    process.kill(-child.pid, "SIGKILL");
    await exit;
  }

  async #run(order: Order, limit: number): Promise<Result> {
    const child = this.#started();
    this.#isFresh = false;
    const over = new AbortController();
    const { signal } = over;
    const timer = setTimeout(() => over.abort(), limit);
    try {
      const told = once(child, "message", { signal }) as Promise<[Result]>;
      const crashed = once(child, "exit", { signal }).then(([code]): [Result] => [
        { outcome: "failed", failed: `the process: ${code}`, isClean: false },
      ]);
      child.send(order, () => {});
      const [result] = await Promise.race([told, crashed]);
      return result;
    } catch {
      return { outcome: "timedOut", isClean: false };
    } finally {
      clearTimeout(timer);
      over.abort();
    }
  }

  #started(): ChildProcess {
    if (this.#child?.connected) return this.#child;
    this.#isFresh = true;
    this.#child = fork(join(this.#tree, "scripts/mutate/test-runner.ts"), {
      cwd: this.#tree,
      execArgv: ["--import", "tsx"],
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      detached: true,
    });
    return this.#child;
  }
}
