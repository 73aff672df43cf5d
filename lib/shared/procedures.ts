import { isObject } from "./protocol.js";

/** A value found at a path, and the object that holds it. */
export interface Found {
  readonly value: unknown;
  readonly parent: object;
}

/**
 * Looks the names of a path up in nested objects, step by step and by own properties only, so that `constructor`
 * or `__proto__` lead nowhere; neither do steps through functions and arrays. Throws what a getter throws.
 */
export function lookUp(root: unknown, path: readonly string[]): Found | undefined {
  let value = root;
  let parent: object | undefined;
  for (const name of path) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined;
    parent = value;
    value = value[name];
  }
  return parent && { value, parent };
}
