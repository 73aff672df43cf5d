// The script for pages without a bundler goes without this: it shows no classes, and its errors have their codes.

import { brand, isBranded } from "./brand.js";
import * as errors from "./call-errors.js";
import { RpcError } from "./errors.js";

/**
 * Gives errors the names of their classes, which minifiers change, and lets `instanceof` know them by these names, also those
 * of another copy of this package.
 */
export function nameErrors(classes: Readonly<Record<string, unknown>>): void {
  for (const [name, type] of Object.entries(classes)) {
    if (typeof type !== "function" || !(type.prototype instanceof Error)) continue;
    Object.defineProperty(type.prototype, "name", { value: name, writable: true, configurable: true });
    const known = Symbol.for(`node-token-sockjs.${name}`);
    brand(type.prototype, known);
    Object.defineProperty(type, Symbol.hasInstance, {
      value(this: unknown, error: unknown): boolean {
        // a subclass of an application's own inherits this
        return this === type ? isBranded(error, known) : isInstance.call(this, error);
      },
      configurable: true,
    });
  }
}

const isInstance: (this: unknown, value: unknown) => boolean = Function.prototype[Symbol.hasInstance];

nameErrors({ ...errors, RpcError });
