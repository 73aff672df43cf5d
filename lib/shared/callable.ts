/** Hands a call over: the dotted path by which it was made, and its arguments. */
export type CallByPath = (path: string, args: readonly unknown[]) => unknown;

/** Functions by any names, nested in any way, each of which hands its call over. */
export function callable(call: CallByPath, path = ""): unknown {
  return new Proxy(() => {}, {
    // what has a `then` would be called by `await`
    get: (_, name) =>
      typeof name === "string" && name !== "then"
        ? callable(call, path ? `${path}.${name}` : name)
        : undefined,
    apply: (_, __, args) => call(path, args),
  });
}
