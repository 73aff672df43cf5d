/** What so many messages that come at once, to so many sockets each, cost a server: microseconds of CPU time for one of them. */
export interface MessageCost {
  readonly members: number;
  readonly atOnce: number;
  readonly cpu: number;
}

/**
 * `n` messages at once to `k` sockets each take a turn, and for each of them what it costs by itself and `k` deliveries. Gives the
 * first two, by the least squares of the relative errors. Nothing is less than nothing, whatever the noise.
 */
export function splitTurn(costs: readonly MessageCost[]): {
  turn: number;
  message: number;
  delivery: number;
} {
  // each of one message: cpu = turn / atOnce + message + delivery * members
  const rows = costs.map(({ members, atOnce, cpu }) => [1 / atOnce, 1, members].map((term) => term / cpu));
  const matrix = [0, 1, 2].map((row) => [
    ...[0, 1, 2].map((column) => sum(rows.map((terms) => (terms[row] ?? 0) * (terms[column] ?? 0)))),
    sum(rows.map((terms) => terms[row] ?? 0)),
  ]);
  const [turn = Number.NaN, message = Number.NaN, delivery = Number.NaN] = solve(matrix);
  return { turn: Math.max(0, turn), message: Math.max(0, message), delivery };
}

/** Solves equations, given as rows of coefficients and what they come to (Gauss and Jordan). */
function solve(matrix: readonly (readonly number[])[]): number[] {
  const rows = matrix.map((row) => [...row]);
  for (let pivot = 0; pivot < rows.length; pivot++) {
    const best = rows
      .slice(pivot)
      .reduce((a, b) => (Math.abs(b[pivot] ?? 0) > Math.abs(a[pivot] ?? 0) ? b : a));
    rows.splice(rows.indexOf(best), 1);
    const scaled = best.map((value) => value / (best[pivot] ?? Number.NaN));
    rows.splice(pivot, 0, scaled);
    for (const [index, row] of rows.entries()) {
      const factor = row[pivot] ?? 0;
      if (index !== pivot) rows[index] = row.map((value, column) => value - factor * (scaled[column] ?? 0));
    }
  }
  return rows.map((row) => row.at(-1) ?? Number.NaN);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
