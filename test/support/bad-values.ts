export const DEPTH = 100_000;
export const MEGABYTE = 2 ** 20;
export const LONG = "x".repeat(MEGABYTE);
export const LONE_SURROGATE = "a\ud800b";
export const CONTROL_CHARACTERS = "\u0000\u0001\b\t\n\r\u001b\u007f\u0085\u200b\u2028\ufeff\uffff";
export const SECRET = "kept in the session of alice";

export const nestedArrays = (levels = DEPTH) => `${"[".repeat(levels)}${"]".repeat(levels)}`;
export const nestedObjects = (levels = DEPTH) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;

/** What a row sends: a text as it is, or a frame as JSON. */
export type Sent = string | Record<string, unknown>;

export const textOf = (sent: Sent): string => (typeof sent === "string" ? sent : JSON.stringify(sent));

export const INVALID = { error: "Invalid request" };
export const NOT_FOUND = { error: "Function not found" };
export const FORBIDDEN = { error: "Forbidden" };
export const RESERVED_CHANNELS = [
  "___all___",
  "___sync___",
  "___",
  "____",
  "______",
  "___other___",
  "___ ___",
];

/** Shown in the name of a test. */
export function name(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 20)}… of ${text.length} characters` : text;
}
