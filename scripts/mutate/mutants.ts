import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Instrumenter } from "@stryker-mutator/instrumenter";
import { type Mutant, textAt } from "./mutant.js";
import { filesOf } from "./repository.js";

/** The code whose mutants the tests of `npm run mutate` can notice: the hooks have tests of their own, the index has no code. */
const MUTATED = /^lib\/(client|server|shared)\/.*(?<!\.d)\.ts$/;

/** What the tests need beside the files that Git knows. */
const LINKED = ["node_modules", "dist", "bench/node_modules"];

/** Copies a repository to a folder, and puts all mutants of `lib` into the copy, each behind a switch. */
export async function plantMutants(root: string, folder: string): Promise<Mutant[]> {
  const files = filesOf(root);
  for (const file of files) cpSync(join(root, file), join(folder, file));
  for (const name of LINKED) {
    if (!existsSync(join(root, name))) continue;
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    symlinkSync(join(root, name), join(folder, name));
  }
  const sources = files
    .filter((file) => MUTATED.test(file))
    .map((name) => ({ name, mutate: true, content: readFileSync(join(root, name), "utf8") }));
  const { files: planted, mutants } = await new Instrumenter(SILENT).instrument(sources, {
    plugins: null,
    ignorers: [],
    excludedMutations: [],
  });
  for (const { name, content } of planted) writeFileSync(join(folder, name), content);

  const texts = new Map(sources.map(({ name, content }) => [name, content]));
  const counts = new Map<string, number>();
  return mutants.map(({ id, fileName, location, mutatorName, replacement, statusReason }) => {
    const number = counts.get(fileName) ?? 0;
    counts.set(fileName, number + 1);
    return {
      id: Number(id),
      file: fileName,
      number,
      line: location.start.line + 1,
      mutator: mutatorName,
      original: textAt(texts.get(fileName) ?? "", location),
      replacement: replacement ?? "",
      ...(statusReason === undefined ? {} : { equivalent: statusReason }),
    };
  });
}

const isEnabled = () => false;
const nothing = () => {};
const SILENT = {
  isTraceEnabled: isEnabled,
  isDebugEnabled: isEnabled,
  isInfoEnabled: isEnabled,
  isWarnEnabled: isEnabled,
  isErrorEnabled: isEnabled,
  isFatalEnabled: isEnabled,
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: (message: string) => console.warn(message),
  error: (message: string) => console.error(message),
  fatal: (message: string) => console.error(message),
};
