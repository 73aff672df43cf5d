import type { Run } from "./runs.js";

/** Simulations of one deployment with more and more sockets. */
export interface Series {
  readonly name: string;
  readonly runs: readonly Run[];
}

const WIDTH = 800;
const HEIGHT = 420;
const LEFT = 64;
const RIGHT = 40;
const TOP = 84;
const BOTTOM = 44;
const COLOURS = ["first", "second", "third", "fourth", "fifth"];

/** Readable on a light and on a dark page. */
const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #57606a; }
  .grid { stroke: #d0d7de; }
  .line { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
  .first { stroke: #0969da; } .second { stroke: #bc4c00; } .third { stroke: #8250df; }
  .fourth { stroke: #1a7f37; } .fifth { stroke: #bf3989; }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1; }
    .grid { stroke: #3d444d; }
    .first { stroke: #4493f8; } .second { stroke: #f0883e; } .third { stroke: #ab7df8; }
    .fourth { stroke: #3fb950; } .fifth { stroke: #db61a2; }
  }
`;

/** Draws how long one delivery in a hundred takes at least, over the number of sockets; both scales are logarithmic. */
export function plot(title: string, series: readonly Series[]): string {
  const points = series.flatMap(({ runs }) => runs.map(pointOf));
  const x = scale(
    points.map(([sockets]) => sockets),
    LEFT,
    WIDTH - RIGHT,
  );
  const y = scale(
    points.map(([, delay]) => delay),
    HEIGHT - BOTTOM,
    TOP,
  );
  const grid = [
    ...x.ticks.map(
      (
        tick,
      ) => `<line class="grid" x1="${x.at(tick)}" x2="${x.at(tick)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>
  <text x="${x.at(tick)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${tick.toLocaleString("en")}</text>`,
    ),
    ...y.ticks.map(
      (tick) => `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y.at(tick)}" y2="${y.at(tick)}"/>
  <text x="${LEFT - 6}" y="${y.at(tick) + 4}" text-anchor="end">${tick.toLocaleString("en")}</text>`,
    ),
  ];
  const lines = series.map(({ name, runs }, index) => {
    const colour = COLOURS[index % COLOURS.length];
    const path = runs.map((run) => {
      const [sockets, delay] = pointOf(run);
      return `${x.at(sockets)},${y.at(delay)}`;
    });
    const [left, top] = [LEFT + (index % 2) * 340, 40 + Math.floor(index / 2) * 16];
    return `<polyline class="line ${colour}" points="${path.join(" ")}"/>
  <line class="line ${colour}" x1="${left}" x2="${left + 20}" y1="${top - 4}" y2="${top - 4}"/>
  <text x="${left + 26}" y="${top}">${name}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">
  <title>${title}</title>
  <style>${STYLE}</style>
  <text x="${LEFT}" y="18">${title}</text>
  ${grid.join("\n  ")}
  ${lines.join("\n  ")}
  <text x="${WIDTH - RIGHT}" y="${HEIGHT - 8}" text-anchor="end">sockets; up: milliseconds</text>
</svg>
`;
}

function pointOf({ deployment, result }: Run): [sockets: number, delay: number] {
  return [deployment.sockets, result.delay.p99 / 1000];
}

/** A logarithmic scale over some values, with powers of ten as its ticks. */
function scale(values: readonly number[], from: number, to: number) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const [low, high] = [Math.floor(Math.log10(least)), Math.ceil(Math.log10(most))];
  return {
    ticks: Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index)),
    at: (value: number) =>
      Math.round((from + ((Math.log10(value) - low) / Math.max(1, high - low)) * (to - from)) * 10) / 10,
  };
}
