/**
 * Installs the packages of folders that have their own, the benchmark's peers, the drivers of further browsers or what plants mutants, where they
 * are missing or others than the lock file has: `node scripts/prepare.mjs bench`. With `--build`, builds the package where it
 * is not built.
 */
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

const ROOT = join(import.meta.dirname, "..");

const { values, positionals: folders } = parseArgs({
  options: { build: { type: "boolean" } },
  allowPositionals: true,
});

for (const folder of folders) {
  // npm notes there what it has installed
  const [wanted = 0, installed = 0] = ["package-lock.json", "node_modules/.package-lock.json"].map(
    (file) => statSync(join(ROOT, folder, file), { throwIfNoEntry: false })?.mtimeMs,
  );
  if (installed < wanted) npm("ci", "--prefix", join(ROOT, folder), "--no-audit", "--no-fund");
}
if (values.build && !existsSync(join(ROOT, "dist/index.js"))) npm("run", "build");

function npm(...args) {
  const { status } = spawnSync("npm", args, { cwd: ROOT, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
