/**
 * What the tests need beside npm packages: a Redis server, Chromium, nginx and HAProxy, and iproute2 where they can make
 * networks of their own. Run as a script it sees to it that they are there; as a module it tells where they are.
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

const FIREFOXES = ["firefox-esr", "firefox", "/Applications/Firefox.app/Contents/MacOS/firefox"];

const WEBKIT_DRIVERS = ["WebKitWebDriver"];

const XVFBS = ["Xvfb"];

// Debian keeps servers where only root's PATH leads
const NGINXES = ["nginx", "/usr/sbin/nginx"];

const HAPROXIES = ["haproxy", "/usr/sbin/haproxy"];

const IPS = ["ip", "/usr/sbin/ip", "/sbin/ip"];

const POLICY_FILE = "/usr/sbin/policy-rc.d";

const HOW_TO_INSTALL = `\
  Debian, Ubuntu:  sudo apt-get install redis-server chromium nginx haproxy iproute2
  Fedora:          sudo dnf install valkey chromium nginx haproxy iproute
  macOS:           brew install redis nginx haproxy && brew install --cask google-chrome
and for the tests in other browsers:
  Debian:          sudo apt-get install firefox-esr webkit2gtk-driver xvfb
  Fedora:          sudo dnf install firefox webkitgtk6.0 xorg-x11-server-Xvfb
  macOS:           brew install --cask firefox
A Redis server that runs already can be named by REDIS_HOST and REDIS_PORT, another Chromium by CHROMIUM_PATH, another
Firefox by FIREFOX_PATH.`;

/** The path of the program that the tests start as their Redis server, or undefined. */
export function findRedisServer() {
  return findProgram(REDIS_SERVERS);
}

/** The path of the browser that the tests drive, or undefined; `CHROMIUM_PATH` alone decides where it is set. */
export function findChromium() {
  const { CHROMIUM_PATH } = process.env;
  return findProgram(CHROMIUM_PATH ? [CHROMIUM_PATH] : CHROMIUMS);
}

/** The path of the Firefox that the tests drive, or undefined; `FIREFOX_PATH` alone decides where it is set. */
export function findFirefox() {
  const { FIREFOX_PATH } = process.env;
  return findProgram(FIREFOX_PATH ? [FIREFOX_PATH] : FIREFOXES);
}

/** The path of the driver by which the tests start WebKit, or undefined. */
export function findWebKitDriver() {
  return findProgram(WEBKIT_DRIVERS);
}

/** The path of the X server on which the tests show WebKit, or undefined. */
export function findXvfb() {
  return findProgram(XVFBS);
}

/** Whether the system may have the driver of WebKit: Linux. */
export function mayRunWebKit() {
  return process.platform === "linux";
}

/** The path of the nginx that the tests start, or undefined. */
export function findNginx() {
  return findProgram(NGINXES);
}

/** The path of the HAProxy that the tests start, or undefined. */
export function findHAProxy() {
  return findProgram(HAPROXIES);
}

/** The path of the `ip` by which the tests make networks, or undefined. */
export function findIp() {
  return findProgram(IPS);
}

/** Whether the system may let the tests make networks: Linux, for root. */
export function mayMakeNetworks() {
  return process.platform === "linux" && process.getuid?.() === 0;
}

/** Whether the environment names a Redis server, so that the tests need none of their own. */
export function isRedisGiven() {
  return Boolean(process.env.REDIS_HOST || process.env.REDIS_PORT);
}

/** What is missing, each with its Debian package; `wantsEngines` says whether the tests in other browsers are to run, too. */
function findMissing(wantsEngines) {
  const missing = [];
  if (!isRedisGiven() && !findRedisServer()) {
    missing.push({ name: "a Redis server (redis-server or valkey-server)", package: "redis-server" });
  }
  if (!findChromium()) missing.push({ name: "Chromium", package: "chromium" });
  if (!findNginx()) missing.push({ name: "nginx", package: "nginx" });
  if (!findHAProxy()) missing.push({ name: "HAProxy", package: "haproxy" });
  if (mayMakeNetworks() && !findIp()) missing.push({ name: "ip of iproute2", package: "iproute2" });
  return wantsEngines ? [...missing, ...findMissingEngines()] : missing;
}

function findMissingEngines() {
  const missing = [];
  if (!findFirefox()) missing.push({ name: "Firefox", package: "firefox-esr" });
  if (!mayRunWebKit()) return missing;
  if (!findWebKitDriver()) {
    missing.push({ name: "the driver of WebKit (WebKitWebDriver)", package: "webkit2gtk-driver" });
  }
  if (!findXvfb()) missing.push({ name: "Xvfb", package: "xvfb" });
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
  console.log(`Installing ${listed(packages)} for the tests`);
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

/** Keeps packages from starting the services that they bring: ports 6379 and 80 may be somebody's. */
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

/** "a", "a and b", "a, b and c" */
function listed(names) {
  return [names.slice(0, -1).join(", "), ...names.slice(-1)].filter(Boolean).join(" and ");
}

function main() {
  const wantsEngines = process.argv.includes("--engines");
  let missing = findMissing(wantsEngines);
  if (missing.length > 0 && isDebianAsRoot()) {
    installWithApt(missing.map((requirement) => requirement.package));
    missing = findMissing(wantsEngines);
  }
  if (missing.length === 0) return;
  const names = listed(missing.map(({ name }) => name));
  console.error(`The tests need ${names}. To install:\n${HOW_TO_INSTALL}`);
  process.exitCode = 1;
}

if (process.argv[1] && realpathSync(process.argv[1]) === import.meta.filename) main();
