/** Installs the benchmark's peers where they are missing or others than the lock file has; with `--build`, builds the package where it is not built. */
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";

const HERE = import.meta.dirname;
const ROOT = join(HERE, "..");

// npm notes there what it has installed
const [wanted, installed] = ["package-lock.json", "node_modules/.package-lock.json"].map(
  (file) => statSync(join(HERE, file), { throwIfNoEntry: false })?.mtimeMs ?? 0,
);
if (installed < wanted) npm("ci", "--prefix", HERE, "--no-audit", "--no-fund");
if (process.argv.includes("--build") && !existsSync(join(ROOT, "dist/index.js"))) npm("run", "build");

function npm(...args) {
  const { status } = spawnSync("npm", args, { cwd: ROOT, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
