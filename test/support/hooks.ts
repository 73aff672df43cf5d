import { relative } from "node:path";
import type { RootHookObject, Suite } from "mocha";
import { sharedName } from "./shared-folder.js";

/** What may still be there when the tests of a file have run: the standard streams, and the line to mocha's main process. */
const EXPECTED = new Set(["TTYWrap", "PipeWrap"]);

/** How long closing sockets, processes and the time limits of SockJS clients get to go away, in milliseconds. */
const PATIENCE = 16_000;

let listenersBefore = "";

/** An unhandled rejection would end a server's process, but mocha hands it on to listeners alone, and goes on without any. */
const failOn = (reason: unknown) => {
  throw reason;
};

/** Before there are any processes that run files side by side: what they share goes with this one. */
export function mochaGlobalSetup(): void {
  sharedName();
}

/** Whatever the tests of a file leave behind (a timer, a socket, a server, a process, a listener of the process) fails the run. */
export const mochaHooks: RootHookObject = {
  beforeAll() {
    listenersBefore = processListeners();
    process.on("unhandledRejection", failOn);
  },
  async afterAll(this: Mocha.Context) {
    const files = filesOf(this.test?.parent);
    let left: string[] = [];
    const end = Date.now() + PATIENCE;
    while (Date.now() < end) {
      // a timer that keeps nothing running is not among those that are left
      await new Promise((resolve) => setTimeout(resolve, 10).unref());
      left = process.getActiveResourcesInfo().filter((resource) => !EXPECTED.has(resource));
      // a runner's own time limit for this very hook
      const timeouts = left.filter((resource) => resource === "Timeout").length;
      if (left.length === timeouts && timeouts <= 1) left = [];
      if (left.length === 0) break;
    }
    if (left.length > 0) throw new Error(`${files} left behind: ${left.join(", ")}`);
    process.off("unhandledRejection", failOn);
    const listeners = processListeners();
    if (listeners !== listenersBefore) {
      throw new Error(`${files} changed the process's listeners from ${listenersBefore} to ${listeners}`);
    }
  },
};

/** Those for the end of the process are left out, which take folders away that several files use. */
function processListeners(): string {
  return process
    .eventNames()
    .filter((name) => name !== "exit")
    .map((name) => `${String(name)}: ${process.listenerCount(name)}`)
    .sort()
    .join(", ");
}

function filesOf(root: Suite | undefined): string {
  const files = root?.suites.map(({ file = "" }) => relative(process.cwd(), file)) ?? [];
  return [...new Set(files)].join(", ");
}
