import type { Reporter } from "../log/reporter.js";
import { Procedure } from "../rpc/procedure.js";
import { at } from "./rules.js";

/** The options whose functions clients call, and what they hold. */
const HOLDS = {
  socketController: "functions, procedures and objects of these",
  routes: "functions, arrays of functions and objects of these",
} as const;

/** Values that one warning names. */
const MOST_TOLD = 5;

/** Values that are looked at: an object may make up others without end. */
const MOST_LOOKED_AT = 10_000;

/**
 * Warns of values that clients cannot call, once each time that the option is set; what is added to its value later is not
 * looked at. No error, since an application may keep data of its own beside its functions.
 */
export function warnOfUncallable(name: keyof typeof HOLDS, value: object, reporter: Reporter): void {
  const told: string[] = [];
  try {
    for (const one of uncallable(name, value)) {
      if (told.push(one) > MOST_TOLD) break;
    }
  } catch {
    // the rest cannot be read
  }
  if (told.length === 0) return;
  const list = [...told.slice(0, MOST_TOLD), ...(told.length > MOST_TOLD ? ["others"] : [])].join(", ");
  reporter.warn(`clients cannot call ${list}: options.${name} is for ${HOLDS[name]}`);
}

/**
 * Finds the values that no path leads a client to, each with its path and its kind; never its content, which may be secret.
 * Neither calls getters nor looks into instances of classes, which have data of their own.
 */
function* uncallable(name: keyof typeof HOLDS, root: object): Generator<string> {
  const seen = new Set<unknown>();
  const waiting: { path: string; value: unknown; isInList: boolean }[] = [
    { path: `options.${name}`, value: root, isInList: false },
  ];
  // it grows meanwhile
  for (const { path, value, isInList } of waiting) {
    if (typeof value === "function" || seen.has(value)) continue;
    if (typeof value !== "object" || value === null) {
      yield `${path} (${kindOf(value)})`;
    } else if (value instanceof Procedure) {
      if (name === "routes") yield `${path} (a procedure)`;
    } else if (Array.isArray(value)) {
      seen.add(value);
      if (name !== "routes" || value.length === 0) {
        yield `${path} (${kindOf(value)})`;
        continue;
      }
      for (const [i, item] of value.entries()) {
        waiting.push({ path: `${path}[${i}]`, value: item, isInList: true });
      }
    } else if (isInList) {
      yield `${path} (${kindOf(value)})`;
    } else if (isPlain(value)) {
      seen.add(value);
      for (const [key, property] of Object.entries(Object.getOwnPropertyDescriptors(value))) {
        if (!property.enumerable || !("value" in property)) continue;
        if (key.includes(".")) yield `${at(path, key)} (its name has a dot)`;
        else waiting.push({ path: at(path, key), value: property.value, isInList: false });
      }
    }
    if (waiting.length > MOST_LOOKED_AT) return;
  }
}

/** Says whether an object is of no class; also where it comes from another realm, as in Jest. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
