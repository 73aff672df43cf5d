// Several copies of this package may be loaded, of several versions or as ES modules and CommonJS. A class is another one in
// each, so its objects are known by a symbol that all of them share.

/** Marks an object by a brand, without a trace in what is logged. */
export function brand(thing: object, by: symbol): void {
  Object.defineProperty(thing, by, { value: true, configurable: true });
}

/** Says whether a value has a brand. Never throws, as reading a property does of a proxy that was revoked. */
export function isBranded(value: unknown, by: symbol): boolean {
  try {
    return (Object(value) as Record<symbol, unknown>)[by] === true;
  } catch {
    return false;
  }
}
