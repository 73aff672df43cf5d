import { type ChildProcess, spawn } from "node:child_process";
import { type Ending, end } from "./ending.js";
import type { Host } from "./network.js";
import { bundleOf } from "./script-bundle.js";
import type { Answer, Call, Functions } from "./served-functions.js";

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** A script in a process of its own, perhaps on a host of a network, whose functions can be called. */
export class RemoteProcess<F extends Functions> {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #count = 0;
  #output = "";

  /** Resolves when the script serves its functions. */
  static async start<F extends Functions>(
    script: string,
    environment: Record<string, string> = {},
    host?: Host,
  ): Promise<RemoteProcess<F>> {
    const code = await bundleOf(script);
    const [program = "", ...args] = [...(host?.prefix ?? []), process.execPath, "--input-type=module", "-"];
    const child = spawn(program, args, {
      env: { ...process.env, ...environment },
      stdio: ["pipe", "pipe", "pipe", "ipc"],
    });
    child.stdin?.on("error", () => {}).end(code);
    const remote = new RemoteProcess<F>(child);
    await new Promise<void>((resolve, reject) => {
      child.once("message", () => resolve());
      child.once("error", reject);
      child.once("close", () => reject(remote.#ended()));
    });
    return remote;
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#output += text;
      });
    }
    child.on("message", ({ id, value, error }: Answer) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(value);
      else waiting?.reject(new Error(error));
    });
    child.on("close", () => {
      for (const { reject } of this.#waiting.values()) reject(this.#ended());
      this.#waiting.clear();
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** What it has printed so far. */
  get output(): string {
    return this.#output;
  }

  call<Name extends keyof F & string>(
    name: Name,
    ...args: Parameters<F[Name]>
  ): Promise<Awaited<ReturnType<F[Name]>>> {
    return new Promise((resolve, reject) => {
      const id = ++this.#count;
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#child.send({ id, name, args } satisfies Call, (error) => error && reject(error));
    });
  }

  /** Asks it to end, and waits until it has. */
  stop(): Promise<Ending> {
    return end(this.#child, "SIGTERM");
  }

  /** Ends it as a crash would, and waits until it is gone. */
  kill(): Promise<Ending> {
    return end(this.#child, "SIGKILL");
  }

  #ended(): Error {
    const { exitCode, signalCode } = this.#child;
    return new Error(`the process has ended with ${signalCode ?? exitCode}:\n${this.#output}`);
  }
}
