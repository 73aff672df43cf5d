/**
 * What the tests need beside npm packages: a Redis server and Chromium. Run as a script it sees to it that both
 * are there; as a module it tells where they are.
 */
import { spawnSync } from "node:child_process";
import {
  accessSync,
  constants,
  existsSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";

const REDIS_SERVERS = ["redis-server", "valkey-server"];

const CHROMIUMS = [
  "/usr/bin/chromium",
  "chromium",
  "chromium-browser",
  "google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

const POLICY_FILE = "/usr/sbin/policy-rc.d";

const HOW_TO_INSTALL = `\
  Debian, Ubuntu:  sudo apt-get install redis-server chromium
  Fedora:          sudo dnf install valkey chromium
  macOS:           brew install redis && brew install --cask google-chrome
A Redis server that runs already can be named by REDIS_HOST and REDIS_PORT, another Chromium by CHROMIUM_PATH.`;

/** The path of the program that the tests start as their Redis server, or undefined. */
export function findRedisServer() {
  return findProgram(REDIS_SERVERS);
}

/** The path of the browser that the tests drive, or undefined; `CHROMIUM_PATH` alone decides where it is set. */
export function findChromium() {
  const { CHROMIUM_PATH } = process.env;
  return findProgram(CHROMIUM_PATH ? [CHROMIUM_PATH] : CHROMIUMS);
}

/** Whether the environment names a Redis server, so that the tests need none of their own. */
export function isRedisGiven() {
  return Boolean(process.env.REDIS_HOST || process.env.REDIS_PORT);
}

/** What is missing, each with its Debian package. */
function findMissing() {
  const missing = [];
  if (!isRedisGiven() && !findRedisServer()) {
    missing.push({ name: "a Redis server (redis-server or valkey-server)", package: "redis-server" });
  }
  if (!findChromium()) missing.push({ name: "Chromium", package: "chromium" });
  return missing;
}

function findProgram(names) {
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  const candidates = names.flatMap((name) =>
    isAbsolute(name) ? [name] : folders.map((folder) => join(folder, name)),
  );
  return candidates.find(isProgram);
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function isDebianAsRoot() {
  if (process.getuid?.() !== 0 || !existsSync("/etc/os-release")) return false;
  return /^ID(_LIKE)?=.*\bdebian\b/m.test(readFileSync("/etc/os-release", "utf8"));
}

function installWithApt(packages) {
  console.log(`Installing ${packages.join(" and ")} for the tests`);
  const options = {
    stdio: "inherit",
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" },
  };
  withoutStartingServices(() => {
    // a failure shows in what is still missing afterwards; only who interrupts wants no more
    const update = spawnSync("apt-get", ["update"], options);
    if (update.signal) return;
    spawnSync("apt-get", ["install", "-y", "--no-install-recommends", ...packages], options);
  });
}

/** Keeps packages from starting the services that they bring: port 6379 may be somebody's. */
function withoutStartingServices(install) {
  if (existsSync(POLICY_FILE)) return install();
  // an interrupted installation ends by itself, and the policy must not outlive it
  const stay = () => {};
  process.on("SIGINT", stay).on("SIGTERM", stay);
  writeFileSync(POLICY_FILE, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    install();
  } finally {
    rmSync(POLICY_FILE, { force: true });
    process.off("SIGINT", stay).off("SIGTERM", stay);
  }
}

function main() {
  let missing = findMissing();
  if (missing.length > 0 && isDebianAsRoot()) {
    installWithApt(missing.map((requirement) => requirement.package));
    missing = findMissing();
  }
  if (missing.length === 0) return;
  console.error(
    `The tests need ${missing.map(({ name }) => name).join(" and ")}. To install:\n${HOW_TO_INSTALL}`,
  );
  process.exitCode = 1;
}

if (process.argv[1] && realpathSync(process.argv[1]) === import.meta.filename) main();
