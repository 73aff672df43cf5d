import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Instrumenter } from "@stryker-mutator/instrumenter";

/** A small change of the code that some test should notice. */
export interface Mutant {
  /** Its number among all mutants of `lib`. */
  readonly id: number;
  readonly file: string;
  /** Its number among the mutants of its file. */
  readonly number: number;
  /** Of its first character, from 1. */
  readonly line: number;
  readonly mutator: string;
  readonly original: string;
  readonly replacement: string;
  /** The reason why no test can notice it, from a comment in the code. */
  readonly equivalent?: string;
}

/** The code whose mutants the tests of `npm run mutate` can notice: the hooks have tests of their own, the index has no code. */
const MUTATED = /^lib\/(client|server|shared)\/.*(?<!\.d)\.ts$/;

/** What the tests need beside the files that Git knows. */
const LINKED = ["node_modules", "dist", "bench/node_modules"];

/** The files of a repository that Git knows or would add. */
export function filesOf(root: string): string[] {
  const list = execFileSync("git", ["ls-files", "-coz", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  });
  return list.split("\0").filter((file) => file && existsSync(join(root, file)));
}

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

interface Place {
  readonly line: number;
  readonly column: number;
}

/** The text between two places, whose lines and columns begin with 0. */
export function textAt(text: string, { start, end }: { readonly start: Place; readonly end: Place }): string {
  const lines = text.split("\n").slice(start.line, end.line + 1);
  const last = lines.length - 1;
  lines[last] = (lines[last] ?? "").slice(0, end.column);
  lines[0] = (lines[0] ?? "").slice(start.column);
  return lines.join("\n");
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
