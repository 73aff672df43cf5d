/** What is drawn of points over time, which are in seconds since the start. */
interface Line<Point> {
  readonly name: string;
  readonly kind: "first" | "second" | "third";
  readonly of: (point: Point) => number;
}

export interface Panel<Point> {
  readonly title: string;
  readonly lines: readonly Line<Point>[];
}

/** Times that are marked, and what they are. */
export interface Marked {
  readonly what: string;
  readonly spans: readonly (readonly [from: number, to: number])[];
}

const WIDTH = 800;
const LEFT = 56;
const RIGHT = 16;
const HEIGHT = 130;
const GAP = 44;
const TOP = 30;

/** Readable on a light and on a dark page. */
const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #57606a; }
  .frame { fill: none; stroke: #d0d7de; }
  .away { fill: #d1242f; opacity: 0.25; }
  .line { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
  .first { stroke: #0969da; } text.first { stroke: none; fill: #0969da; }
  .second { stroke: #bc4c00; } text.second { stroke: none; fill: #bc4c00; }
  .third { stroke: #8250df; } text.third { stroke: none; fill: #8250df; }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1; }
    .frame { stroke: #3d444d; }
    .away { fill: #f85149; }
    .first { stroke: #4493f8; } text.first { fill: #4493f8; }
    .second { stroke: #f0883e; } text.second { fill: #f0883e; }
  }
`;

/** Draws points over time. */
export function plot<Point extends { readonly time: number }>(
  title: string,
  panels: readonly Panel<Point>[],
  points: readonly Point[],
  marked: Marked,
): string {
  const end = Math.max(...points.map(({ time }) => time), 1);
  const x = (time: number) => round(LEFT + (Math.min(time, end) / end) * (WIDTH - LEFT - RIGHT));
  const height = TOP + panels.length * (HEIGHT + GAP) + 10;
  const parts = panels.map((panel, index) => {
    const top = TOP + index * (HEIGHT + GAP) + 18;
    const most = niceAbove(Math.max(...panel.lines.flatMap(({ of }) => points.map(of)), 1));
    const y = (value: number) => round(top + HEIGHT - (value / most) * HEIGHT);
    const lines = panel.lines.map(({ name, kind, of }, number) => {
      const path = points.map((point) => `${x(point.time)},${y(of(point))}`).join(" ");
      return `<polyline class="line ${kind}" points="${path}"/>
  <text class="${kind}" x="${LEFT + 150 + number * 220}" y="${top - 6}">${name}</text>`;
    });
    const away = marked.spans.map(
      ([from, to]) =>
        `<rect class="away" x="${x(from)}" y="${top}" width="${Math.max(1, round(x(to) - x(from)))}" height="${HEIGHT}"/>`,
    );
    return `${away.join("\n  ")}
  <rect class="frame" x="${LEFT}" y="${top}" width="${WIDTH - LEFT - RIGHT}" height="${HEIGHT}"/>
  <text x="${LEFT}" y="${top - 6}">${panel.title}</text>
  <text x="${LEFT - 6}" y="${top + 10}" text-anchor="end">${most}</text>
  <text x="${LEFT - 6}" y="${top + HEIGHT}" text-anchor="end">0</text>
  ${lines.join("\n  ")}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
  <title>${title}</title>
  <style>${STYLE}</style>
  <text x="${LEFT}" y="18">${title}</text>
  ${parts.join("\n  ")}
  <text x="${WIDTH - RIGHT}" y="${height - 10}" text-anchor="end">${Math.round(end)} s; red: ${marked.what}</text>
</svg>
`;
}

function niceAbove(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 5, 8, 10].map((times) => times * unit).find((nice) => nice >= value) ?? value;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
