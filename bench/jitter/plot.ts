import type { Tally } from "./ledger.js";
import { ROWS } from "./run.js";
import { type JitterResult, percent, TITLES, titleOf } from "./table.js";

const WIDTH = 900;
const LEFT = 400;
const RIGHT = 80;
const BAR = 16;
const STEP = 24;
const TOP = 70;

/** Readable on a light and on a dark page. */
const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #57606a; }
  .title { font-weight: 600; }
  .delivered { fill: #1a7f37; } .reported { fill: #d4a72c; } .silent { fill: #cf222e; }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1; }
    .delivered { fill: #3fb950; } .reported { fill: #d29922; } .silent { fill: #f85149; }
  }
`;

/** The parts of a bar, and how many messages each stands for. */
const PARTS: readonly [style: string, title: string, of: (tally: Tally) => number][] = [
  ["delivered", "delivered", ({ delivered }) => delivered],
  ["reported", "lost, and the client was told", ({ due, delivered, silent }) => due - delivered - silent],
  ["silent", "lost silently", ({ silent }) => silent],
];

/** Draws what became of the messages, as a bar for each contender in each row. */
export function jitterPlot(results: readonly JitterResult[]): string {
  let top = TOP;
  const parts = ROWS.flatMap((row) => {
    const own = results.filter((result) => result.row === row);
    if (own.length === 0) return [];
    const title = `<text class="title" x="14" y="${top}">${TITLES[row]}</text>`;
    top += 12;
    const bars = own.map((result) => {
      const drawn = bar(result, top);
      top += STEP;
      return drawn;
    });
    top += 24;
    return [title, ...bars];
  });
  const legend = PARTS.map(
    ([style, title], index) =>
      `<rect class="${style}" x="${14 + index * 220}" y="32" width="12" height="12"/><text x="${32 + index * 220}" y="42">${title}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" width="${WIDTH}" height="${top}" role="img">
  <title>What became of the messages</title>
  <style>${STYLE}</style>
  <text x="14" y="18">What became of the messages that clients should have got</text>
  ${[...legend, ...parts].join("\n  ")}
</svg>
`;
}

function bar({ contender, tally }: JitterResult, top: number): string {
  let left = LEFT;
  const pieces = PARTS.map(([style, , of]) => {
    const width = Math.round((of(tally) / tally.due) * (WIDTH - LEFT - RIGHT) * 10) / 10;
    const piece = `<rect class="${style}" x="${left.toFixed(1)}" y="${top}" width="${width}" height="${BAR}"/>`;
    left += width;
    return piece;
  });
  const middle = top + BAR - 4;
  return `<text x="${LEFT - 12}" y="${middle}" text-anchor="end">${titleOf(contender)}</text>${pieces.join("")}<text x="${WIDTH - RIGHT + 8}" y="${middle}">${percent(tally.delivered, tally.due)}</text>`;
}
