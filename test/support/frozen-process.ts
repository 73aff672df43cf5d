import { spawn } from "node:child_process";
import { once } from "node:events";

/** Stops a process until the standard input ends, which it does when the process of the tests is gone, in whatever way. */
const STOP_UNTIL_INPUT_ENDS = `
  trap '' INT TERM HUP
  kill -STOP "$1"
  echo
  cat >/dev/null
  kill -CONT "$1" 2>/dev/null
`;

/** Stops a process by SIGSTOP; the function that it gives lets it go on. */
export async function freeze(pid: number): Promise<() => Promise<void>> {
  const keeper = spawn("/bin/sh", ["-c", STOP_UNTIL_INPUT_ENDS, "sh", String(pid)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(keeper.stdout, "data");
  return async () => {
    const gone = once(keeper, "close");
    keeper.stdin.end();
    await gone;
  };
}
