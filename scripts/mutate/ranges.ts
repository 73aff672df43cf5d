/** Writes numbers, in ascending order, as ranges: `0-12,15`. */
export function toRanges(numbers: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last && number === last[1] + 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}

/** The numbers of ranges. */
export function numbersIn(ranges: string): number[] {
  return ranges
    .split(",")
    .filter(Boolean)
    .flatMap((range) => {
      const [from = "", to = from] = range.split("-");
      return Array.from({ length: Number(to) - Number(from) + 1 }, (_, index) => Number(from) + index);
    });
}

/** Whether a number is one of those of ranges. */
export function isInRanges(number: number, ranges: string): boolean {
  return ranges.split(",").some((range) => {
    const [from = "", to = from] = range.split("-");
    return range !== "" && Number(from) <= number && number <= Number(to);
  });
}
