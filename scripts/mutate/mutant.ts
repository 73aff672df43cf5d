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
