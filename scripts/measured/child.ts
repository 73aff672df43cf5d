import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { LET_GO } from "./sample.js";

/** How a process has ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A process that is told what to do, and tells what it has done. */
export class Child<Order extends string, Told extends { readonly type: string }> {
  readonly #child: ChildProcess;
  /** Resolves when it has ended. */
  readonly ended: Promise<Ending>;

  constructor(script: string, environment: Record<string, string> = {}) {
    this.#child = fork(script, {
      execArgv: ["--expose-gc", "--import", "tsx"],
      env: { ...process.env, ...environment },
    });
    this.ended = once(this.#child, "exit").then(([code, signal]) => ({ code, signal }));
  }

  order(order: Order): void {
    if (this.#child.connected) this.#child.send(order);
  }

  /** Orders something, and gives what is told of it. */
  async ask<Type extends Told["type"]>(order: Order, type: Type): Promise<Extract<Told, { type: Type }>> {
    const told = this.told(type);
    this.order(order);
    return told;
  }

  /** Gives the next that is told of a type. */
  told<Type extends Told["type"]>(type: Type): Promise<Extract<Told, { type: Type }>> {
    return new Promise((resolve, reject) => {
      const forget = () => this.#child.off("message", onMessage).off("exit", onExit);
      const onExit = () => {
        forget();
        reject(new Error("The server has ended"));
      };
      const onMessage = (told: Told) => {
        if (told.type !== type) return;
        forget();
        resolve(told as Extract<Told, { type: Type }>);
      };
      this.#child.on("message", onMessage).once("exit", onExit);
    });
  }

  /** Asks it to end by itself: what it has forgotten to close keeps it from that. Says whether it has. */
  async stop(order: Order): Promise<boolean> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return false;
    this.order(order);
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), LET_GO);
    const { code } = await this.ended;
    clearTimeout(timer);
    return code === 0;
  }
}
