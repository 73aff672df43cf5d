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

/** Says whether Redis does not know a script, as after `SCRIPT FLUSH`. */
export function isUnknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("NOSCRIPT");
}
