/** Runs all tests with another version of Node.js, which npm has as a package: `npm run test:node -- 22`. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

const [version = ""] = process.argv.slice(2);

function run(command, args, env = process.env) {
  const { error, status } = spawnSync(command, args, { stdio: "inherit", env });
  if (error) throw error;
  return status === 0;
}

function runTests(folder) {
  const name = `node-${process.platform}-${process.arch}`;
  // the folder is removed afterwards, so nothing but the package itself is wanted
  const options = ["--prefix", folder, "--no-audit", "--no-fund", "--loglevel=error"];
  if (!run("npm", ["install", ...options, `${name}@${version}`])) return false;
  const programs = join(folder, "node_modules", name, "bin");
  const env = { ...process.env, PATH: `${programs}${delimiter}${process.env.PATH}` };
  return run("node", ["--version"], env) && run("npm", ["test"], env);
}

function main() {
  if (!/^\d+(\.\d+){0,2}$/.test(version)) {
    console.error("Which Node.js? For instance: npm run test:node -- 22");
    return false;
  }
  // Ctrl+C ends what runs here, and the folder has to go all the same
  process.on("SIGINT", () => {});
  const folder = mkdtempSync(join(tmpdir(), "node-"));
  try {
    return runTests(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (!main()) process.exitCode = 1;
