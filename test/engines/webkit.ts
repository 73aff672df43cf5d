import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { Builder, type WebDriver } from "selenium-webdriver";
import { findWebKitDriver, findXvfb } from "../../scripts/test-requirements.mjs";
import type { Engine, EnginePage } from "../support/engines/engine.js";
import { findFreePort } from "../support/free-port.js";

/** How often to look whether the driver listens, in milliseconds. */
const PAUSE = 20;

/**
 * Runs a display, and the driver on it, until the standard input ends, which it does when the process of the tests is
 * gone, in whatever way. Then both are ended, and the browser with them; the display removes its socket.
 */
const RUN_UNTIL_INPUT_ENDS = `
  exec 3<&0
  setsid sh -c '
    "$1" -displayfd 1 -screen 0 1024x768x24 | {
      read -r number
      DISPLAY=":$number" exec "$2" --port="$3" </dev/null >&2
    }
  ' sh "$@" 3<&- </dev/null &
  group=$!
  { cat <&3 >/dev/null; kill -TERM -$group 2>/dev/null; } &
  watcher=$!
  wait $group
  kill $watcher 2>/dev/null
`;

/** WebKitGTK's MiniBrowser on a display of its own, driven by Selenium. */
export const WEBKIT: Engine = {
  name: "WebKit",
  async launch() {
    const [display, driver] = [findXvfb(), findWebKitDriver()];
    if (!display || !driver) throw new Error("There is no WebKit driver; see scripts/test-requirements.mjs");
    const home = await mkdtemp(join(tmpdir(), "webkit-"));
    const port = await findFreePort();
    const child = spawn("/bin/sh", ["-c", RUN_UNTIL_INPUT_ENDS, "sh", display, driver, String(port)], {
      stdio: ["pipe", "ignore", "pipe"],
      // no signal to the group of the tests' process is to end it before the others
      detached: true,
      env: { ...process.env, ...placesIn(home) },
    });
    const close = async () => {
      // it closes when the last process that has its output is gone
      const gone = once(child, "close");
      child.stdin.end();
      await gone;
      await rm(home, { recursive: true, force: true });
    };
    try {
      return page(await openSession(`http://127.0.0.1:${port}`, child), close);
    } catch (error) {
      await close();
      throw error;
    }
  },
};

/** The variables by which programs put all that they keep into a folder. */
function placesIn(folder: string): Record<string, string> {
  return {
    HOME: folder,
    XDG_CACHE_HOME: join(folder, "cache"),
    XDG_CONFIG_HOME: join(folder, "config"),
    XDG_DATA_HOME: join(folder, "data"),
    XDG_RUNTIME_DIR: folder,
  };
}

/** Starts the browser, as soon as its driver listens. */
async function openSession(url: string, child: ChildProcess): Promise<WebDriver> {
  let output = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  for (;;) {
    if (child.exitCode !== null) throw new Error(`WebKit's driver did not start:\n${output}`);
    const isThere = await fetch(`${url}/status`).then(
      ({ ok }) => ok,
      () => false,
    );
    // a server that is named keeps Selenium from looking for drivers to download
    if (isThere)
      return new Builder().disableEnvironmentOverrides().usingServer(url).forBrowser("MiniBrowser").build();
    await setTimeout(PAUSE);
  }
}

function page(driver: WebDriver, close: () => Promise<void>): EnginePage {
  return {
    open: (url) => driver.get(url),
    async evaluate(expression) {
      const { value, error } = await driver.executeAsyncScript<{ value?: unknown; error?: string }>(`
        const done = arguments[arguments.length - 1];
        (async () => ${expression})().then((value) => done({ value }), (error) => done({ error: String(error) }));
      `);
      if (error !== undefined) throw new Error(error);
      return value;
    },
    async close() {
      await driver.quit().catch(() => {});
      await close();
    },
  };
}
