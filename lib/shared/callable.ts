/** Hands a call over: the dotted path by which it was made, and its arguments. */
export type CallByPath = (path: string, args: readonly unknown[]) => unknown;

/** The names that JavaScript itself calls: on `await`, on the way to JSON, and on the way to text. */
const OWN = /^(then|toJSON|toString|valueOf)$/;

/** Functions by any names, nested in any way, each of which hands its call over. One of a name is always the same. */
export function callable(call: CallByPath, path = ""): unknown {
  const made = new Map<string, unknown>();
  return new Proxy(() => {}, {
    get: (_, name) => {
      if (typeof name !== "string" || OWN.test(name)) return undefined;
      const known = made.get(name) ?? callable(call, path ? `${path}.${name}` : name);
      made.set(name, known);
      return known;
    },
    apply: (_, __, args) => call(path, args),
  });
}
