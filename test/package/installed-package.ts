import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, realpath, rename, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { sharedName } from "../support/shared-folder.js";

const run = promisify(execFile);

export const ROOT = join(import.meta.dirname, "../..");

/** What is no part of the package's sources. */
const LEFT_OUT = new Set(["node_modules", "dist", "coverage", ".git"]);

let installing: Promise<string> | undefined;

/** How it has gone for the process that has installed the package. */
type Outcome = { readonly project: string } | { readonly failure: string };

/**
 * Builds and packs the package apart from the working tree, unless it was just built there, and installs it in a folder as a user's project has
 * it: the packed files in `node_modules`, with the other packages beside them. Gives the project's folder, which
 * the processes of a run of tests share; it goes with the run.
 */
export function installPackage(): Promise<string> {
  installing ??= share();
  return installing;
}

/** Installs it, or waits for another process that does. */
async function share(): Promise<string> {
  const folder = join(await realpath(tmpdir()), sharedName());
  const file = join(folder, "outcome.json");
  try {
    await mkdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const outcome: Outcome = JSON.parse(await contentOf(file));
    if ("failure" in outcome) throw new Error(outcome.failure);
    return outcome.project;
  }
  try {
    const project = await install(folder);
    await tell(file, { project });
    return project;
  } catch (error) {
    await tell(file, { failure: String(error) });
    throw error;
  }
}

async function tell(file: string, outcome: Outcome): Promise<void> {
  // at once with all that is in it
  await writeFile(`${file}.new`, JSON.stringify(outcome));
  await rename(`${file}.new`, file);
}

/** What is in a file, once it is there. */
async function contentOf(file: string): Promise<string> {
  while (!existsSync(file)) await delay(50);
  return readFile(file, "utf8");
}

/** Runs the TypeScript compiler in a folder; gives what it says, which is nothing where all is well. */
export async function compile(folder: string, args: readonly string[]): Promise<string> {
  const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
  // other processes have work for the other cores, and for so short a time it needs no garbage collector
  const command = [compiler, "--singleThreaded", ...args];
  const env = { ...process.env, GOGC: "off" };
  try {
    return (await run(process.execPath, command, { cwd: folder, env })).stdout;
  } catch (error) {
    const { stdout } = error as { stdout?: string };
    if (!stdout) throw error;
    return stdout;
  }
}

/** Builds a copy of the package's sources, and gives its folder. */
async function buildCopy(folder: string): Promise<string> {
  const source = join(folder, "source");
  await cp(ROOT, source, {
    recursive: true,
    filter: (path) => path === ROOT || !LEFT_OUT.has(basename(path)),
  });
  await symlink(join(ROOT, "node_modules"), join(source, "node_modules"));
  const complaints = await compile(source, ["-p", "tsconfig.json"]);
  if (complaints) throw new Error(`The package does not build:\n${complaints}`);
  for (const part of ["client", "commonjs", "older-types"]) {
    await run(process.execPath, [`scripts/build-${part}.mjs`], { cwd: source });
  }
  return source;
}

async function install(folder: string): Promise<string> {
  // the whole run has built the package just now
  const source = process.env.NODE_TOKEN_SOCKJS_BUILT ? ROOT : await buildCopy(folder);
  const packing = ["pack", "--ignore-scripts", "--json", "--loglevel=error", "--pack-destination", folder];
  const { stdout } = await run("npm", packing, { cwd: source });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];

  const project = join(folder, "project");
  const modules = join(project, "node_modules");
  await mkdir(modules, { recursive: true });
  await writeFile(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
  for (const name of await readdir(join(ROOT, "node_modules"))) {
    if (!name.startsWith(".")) await symlink(join(ROOT, "node_modules", name), join(modules, name));
  }
  await run("tar", ["-xzf", join(folder, filename), "-C", modules]);
  const { name } = JSON.parse(await readFile(join(modules, "package/package.json"), "utf8"));
  await rename(join(modules, "package"), join(modules, name));
  return project;
}
