/** Encodes data as a query that may be nested: `a[b]=c` is `{ a: { b: "c" } }`. */
export function encodeQuery(data: object): string {
  const pairs: string[] = [];
  const add = (value: unknown, name = "") => {
    if (typeof value !== "object" || value === null) {
      pairs.push(`${name}=${encodeURIComponent(`${value ?? ""}`)}`);
      return;
    }
    for (const key of Object.keys(value)) {
      const part = encodeURIComponent(key);
      add((value as Record<string, unknown>)[key], name ? `${name}[${part}]` : part);
    }
  };
  // as JSON has it: without functions, and with dates as text
  add(JSON.parse(JSON.stringify(data)));
  return pairs.join("&");
}
