// The script for pages without a bundler goes without this: it shows no classes, and its errors have their codes.

import * as errors from "./call-errors.js";

/** Gives errors the names of their classes, which minifiers change. */
export function nameErrors(classes: Readonly<Record<string, unknown>>): void {
  for (const [name, type] of Object.entries(classes)) {
    if (typeof type !== "function" || !(type.prototype instanceof Error)) continue;
    Object.defineProperty(type.prototype, "name", { value: name, writable: true, configurable: true });
  }
}

nameErrors(errors);
