import { createHash } from "node:crypto";

/** A script for Redis, which knows it by its hash once it has been given its text. */
export class Script {
  readonly text: string;
  readonly sha: string;
  /** The names of the commands that it gives, separated by spaces. */
  readonly commands: string;

  constructor(commands: string, text: string) {
    this.text = text;
    this.sha = createHash("sha1").update(text).digest("hex");
    this.commands = `eval evalsha ${commands}`;
  }
}

/** The pairs of a script's answer. */
export function pairsOf(answer: readonly string[]): [first: string, second: string][] {
  const pairs: [string, string][] = [];
  let first: string | undefined;
  for (const text of answer) {
    if (first === undefined) {
      first = text;
    } else {
      pairs.push([first, text]);
      first = undefined;
    }
  }
  return pairs;
}

/** Says whether Redis does not know a script, as after `SCRIPT FLUSH`. */
export function isUnknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("NOSCRIPT");
}
