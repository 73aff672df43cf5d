import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The environment variable that tells the processes of a run the name of its folder. */
const VARIABLE = "NODE_TOKEN_SOCKJS_RUN";

/**
 * The name of a folder in that for temporary files that the processes of a run of tests share. Who needs it makes it.
 * It goes with the process that has asked for the name first.
 */
export function sharedName(): string {
  const known = process.env[VARIABLE];
  if (known) return known;
  const name = `node-token-sockjs-${randomUUID()}`;
  process.env[VARIABLE] = name;
  process.once("exit", () => rmSync(join(tmpdir(), name), { recursive: true, force: true }));
  return name;
}
