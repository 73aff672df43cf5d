import { encodeJson } from "../shared/protocol.js";

/** A text by which inputs are told apart: the input as JSON, or, since calls with such a one fail, why it is none. */
export function keyOf(input: unknown): string {
  if (input === undefined) return "";
  try {
    return encodeJson(input);
  } catch (error) {
    return (error as Error).message;
  }
}
