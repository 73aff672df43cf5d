import { type ChildProcess, spawn } from "node:child_process";
import { type Ending, end } from "./ending.js";

/** Ends the process when its standard input does, which is when the process of the tests is gone, in whatever way. */
const END_WITH_INPUT = `data:text/javascript,process.stdin.on("end", () => process.exit(1)).resume().unref();`;

/** The line in which a server prints where it listens. */
const URL_LINE = /\bhttp:\/\/\S+:(\d+)/;

/** A server in a Node.js process of its own, which prints the URL that it listens on. */
export class ServerProcess {
  readonly url: string;
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #output: () => string;

  /** Starts a script; resolves when it listens. `PORT` is 0 unless the environment says otherwise. */
  static async start(script: string, environment: Record<string, string> = {}): Promise<ServerProcess> {
    const child = spawn(process.execPath, ["--import", END_WITH_INPUT, script], {
      env: { ...process.env, PORT: "0", ...environment },
      stdio: ["pipe", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    }
    const [, port] = await new Promise<RegExpExecArray>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", () => reject(new Error(`${script} has ended:\n${output}`)));
      child.stdout.on("data", () => {
        const line = URL_LINE.exec(output);
        if (line) resolve(line);
      });
    });
    return new ServerProcess(child, Number(port), () => output);
  }

  private constructor(child: ChildProcess, port: number, output: () => string) {
    this.#child = child;
    this.#output = output;
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** What it has printed so far. */
  get output(): string {
    return this.#output();
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Asks it to end, and waits until it has. */
  stop(): Promise<Ending> {
    return end(this.#child, "SIGTERM");
  }

  /** Ends it as a crash would, and waits until it is gone. */
  kill(): Promise<Ending> {
    return end(this.#child, "SIGKILL");
  }
}
