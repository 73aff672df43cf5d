/** Values for channels, by the channels' names; a `*` at the end of one stands for anything. */
export class ByChannel<Value> {
  readonly #byName = new Map<string, Value>();
  /** The longest first. */
  readonly #byStart: (readonly [start: string, value: Value])[] = [];

  constructor(values: Readonly<Record<string, Value>>) {
    for (const [name, value] of Object.entries(values)) {
      if (name.endsWith("*")) this.#byStart.push([name.slice(0, -1), value]);
      else this.#byName.set(name, value);
    }
    this.#byStart.sort(([a], [b]) => b.length - a.length);
  }

  /** The value for a channel: that of its whole name, else that of the longest beginning. */
  get(channel: string): Value | undefined {
    return this.#byName.get(channel) ?? this.#byStart.find(([start]) => channel.startsWith(start))?.[1];
  }
}

/** Says whether a value is an object of such names, with values of one kind. */
export function isByChannel(value: unknown, accepts: (value: unknown) => boolean): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    [Object.prototype, null].includes(Object.getPrototypeOf(value)) &&
    Object.entries(value).every(([name, item]) => /^[^*]*\*?$/.test(name) && name !== "" && accepts(item))
  );
}
