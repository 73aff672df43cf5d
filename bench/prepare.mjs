/** Installs the benchmark's peers where they are missing; with `--build`, builds the package where it is not built. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const HERE = import.meta.dirname;
const ROOT = join(HERE, "..");

if (!existsSync(join(HERE, "node_modules"))) npm("ci", "--prefix", HERE, "--no-audit", "--no-fund");
if (process.argv.includes("--build") && !existsSync(join(ROOT, "dist/index.js"))) npm("run", "build");

function npm(...args) {
  const { status } = spawnSync("npm", args, { cwd: ROOT, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
