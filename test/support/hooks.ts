import type { RootHookObject } from "mocha";

/** What may still be there when all tests have run: the standard streams. */
const EXPECTED = new Set(["TTYWrap", "PipeWrap"]);

/** How long closing sockets, processes and the time limits of SockJS clients get to go away, in milliseconds. */
const PATIENCE = 16_000;

export const mochaHooks: RootHookObject = {
  /** Whatever a test leaves behind (a timer, a socket, a server, a process) fails the run. */
  async afterAll() {
    let left: string[] = [];
    const end = Date.now() + PATIENCE;
    while (Date.now() < end) {
      await new Promise((resolve) => setImmediate(resolve));
      left = process.getActiveResourcesInfo().filter((resource) => !EXPECTED.has(resource));
      // a runner's own time limit for this very hook
      const timeouts = left.filter((resource) => resource === "Timeout").length;
      if (left.length === timeouts && timeouts <= 1) return;
    }
    throw new Error(`the tests left behind: ${left.join(", ")}`);
  },
};
