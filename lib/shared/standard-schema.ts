import { isThenable } from "./answer.js";

/**
 * A schema of any library that speaks Standard Schema, version 1 (https://standardschema.dev), such as zod,
 * valibot and arktype. `Input` is what it accepts, `Output` what it makes of that.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    /** The name of the library. */
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    /** For the compiler alone. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** A schema's result: the value that it has made, or the issues that it has found. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** An issue that a schema has found. */
export interface StandardIssue {
  readonly message: string;
  /** The keys that lead to the place. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** The issues of a value, in JSON. */
export interface Issue {
  readonly message: string;
  /** The keys that lead to the place; none where it is the value itself. */
  readonly path: readonly (string | number)[];
}

type Checked =
  | { readonly valid: true; readonly value: unknown }
  | { readonly valid: false; readonly issues: readonly Issue[] };

/** The number of issues that are told; there may be one for each item of a long array. */
export const MOST_ISSUES = 100;

/** Characters of all issues together, of one message, and of one step of a path: an issue may repeat what was sent. */
const LONGEST_ISSUES = 10_000;
const LONGEST_MESSAGE = 1000;
const LONGEST_STEP = 100;
const MOST_STEPS = 50;

/** Says whether a value is a schema. */
export function isStandardSchema(value: unknown): value is StandardSchema {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  const { version, validate } = Object((value as Partial<StandardSchema>)["~standard"]);
  return version === 1 && typeof validate === "function";
}

/** Checks a value; at once where the schema does. Throws or rejects with what the schema does. */
export function check(schema: StandardSchema, value: unknown): Checked | Promise<Checked> {
  const result = schema["~standard"].validate(value);
  return isThenable(result) ? Promise.resolve(result).then(checkedOf) : checkedOf(result);
}

/** Issues in words, for a log. */
export function describeIssues(issues: readonly Issue[]): string {
  return issues
    .map(({ message, path }) => (path.length > 0 ? `${path.join(".")}: ${message}` : message))
    .join("; ");
}

function checkedOf(result: StandardResult<unknown>): Checked {
  if (!result.issues) return { valid: true, value: result.value };
  const issues: Issue[] = [];
  let length = 0;
  for (const one of result.issues.slice(0, MOST_ISSUES)) {
    const issue = issueOf(one);
    length += issue.message.length + issue.path.join(".").length;
    // the first one is never so long
    if (length > LONGEST_ISSUES) break;
    issues.push(issue);
  }
  return { valid: false, issues };
}

function issueOf({ message, path = [] }: StandardIssue): Issue {
  return {
    message: String(message).slice(0, LONGEST_MESSAGE),
    path: path.slice(0, MOST_STEPS).map((step) => {
      const key = typeof step === "object" ? step.key : step;
      return typeof key === "number" ? key : String(key).slice(0, LONGEST_STEP);
    }),
  };
}
