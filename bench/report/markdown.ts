type Row = readonly string[];

/** A table of which all but the first columns are numbers. */
export function table(head: Row, rows: readonly Row[], texts = 1): string {
  const line = (cells: Row) => `| ${cells.join(" | ")} |`;
  const rule = line(head.map((_, column) => (column < texts ? "---" : "--:")));
  return [line(head), rule, ...rows.map(line)].join("\n");
}
