/** The place of a message in its channel's history. Users get it as a text, which means nothing to them. */
export interface Position {
  /** The name of the history's present life: another one begins where Redis has forgotten the last. */
  readonly epoch: string;
  /** The number of messages so far; 0 before the first one. */
  readonly offset: number;
  /** A random number of this message, by which a history that went back is told; "0" before the first one. */
  readonly tag: string;
}

const FORM = /^([\w-]{1,64})\.(\d{1,16})\.(\d{1,20})$/;

/** Parses a position; undefined for what is none. */
export function parsePosition(text: unknown): Position | undefined {
  const [, epoch, digits, tag] = typeof text === "string" ? (FORM.exec(text) ?? []) : [];
  // Stryker disable next-line ConditionalExpression,LogicalOperator: a position has all of them, and what is none has none
  if (epoch === undefined || digits === undefined || tag === undefined) return undefined;
  const offset = Number(digits);
  return Number.isSafeInteger(offset) ? { epoch, offset, tag } : undefined;
}

/** A position as a text. */
export function formatPosition({ epoch, offset, tag }: Position): string {
  return `${epoch}.${offset}.${tag}`;
}

/** Says whether two positions are the same message's. */
export function samePosition(a: Position | undefined, b: Position | undefined): boolean {
  return a?.offset === b?.offset && a?.tag === b?.tag && a?.epoch === b?.epoch;
}
