/**
 * Runs a command again whenever a file in some folders changes: `node scripts/watch.mjs lib,test -- npx mocha a.test.ts`.
 * A run that is still going is ended first, with all processes that it has started.
 */
import { spawn } from "node:child_process";
import { watch } from "node:fs";

/** Editors write a file in several steps; so long nothing else may change, in milliseconds. */
const QUIET = 200;
/** Until a run that was told to end is killed, in milliseconds. */
const PATIENCE = 5_000;

const [folders, separator, command, ...args] = process.argv.slice(2);
if (!folders || separator !== "--" || !command) {
  console.error("usage: node scripts/watch.mjs <folder>[,<folder>…] -- <command> [<argument>…]");
  process.exit(1);
}

let running;
let quiet;
let isEnding = false;

function start() {
  // a process group of its own, so that what it starts ends with it
  const child = spawn(command, args, { stdio: "inherit", detached: true });
  running = child;
  child.on("error", (error) => console.error(error.message));
  child.on("exit", () => {
    if (running === child) running = undefined;
    if (isEnding) process.exit();
  });
}

/** Ends the run that is going, and resolves when it has ended. */
function stop() {
  const child = running;
  if (!child?.pid) return Promise.resolve();
  const tell = (signal) => {
    try {
      process.kill(-child.pid, signal);
    } catch {
      // it has ended in this very moment
    }
  };
  return new Promise((resolve) => {
    const timer = setTimeout(() => tell("SIGKILL"), PATIENCE);
    child.once("exit", () => {
      clearTimeout(timer);
      resolve();
    });
    // as by Ctrl+C: what ends with care by SIGTERM, as the chat does, would take its time
    tell("SIGINT");
  });
}

for (const folder of folders.split(",")) {
  watch(folder, { recursive: true }, () => {
    clearTimeout(quiet);
    quiet = setTimeout(() => stop().then(start), QUIET);
  });
}
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    isEnding = true;
    clearTimeout(quiet);
    stop().then(() => process.exit());
  });
}
start();
