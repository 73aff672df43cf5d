import { advantage, type CaseResult, contendersOf, metricsOf, type Results } from "./results.js";

const WIDTH = 900;
const LEFT = 400;
const RIGHT = 30;
const ROW = 34;
/** Between the contenders of one row. */
const STEP = 3.5;
const TOP = 96;
/** The scale's ends, in ratios. */
const LEAST = 1 / 4;
const MOST = 16;
const TICKS = [0.25, 0.5, 1, 2, 4, 8, 16];

/** Readable on a light and on a dark page. */
const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #57606a; }
  .grid { stroke: #d0d7de; }
  .even { stroke: #57606a; stroke-width: 1.5; }
  .spread { stroke-width: 1.5; }
  .sockjs { fill: #0969da; stroke: #0969da; }
  .plain { fill: #1a7f37; stroke: #1a7f37; }
  .old { fill: #bc4c00; stroke: #bc4c00; }
  .bare { fill: #8c959f; stroke: #8c959f; }
  .http { fill: #8250df; stroke: #8250df; }
  .hollow { fill: none; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1; }
    .grid { stroke: #3d444d; }
    .even { stroke: #9198a1; }
    .sockjs { fill: #4493f8; stroke: #4493f8; }
    .plain { fill: #3fb950; stroke: #3fb950; }
    .old { fill: #f0883e; stroke: #f0883e; }
    .bare { fill: #656c76; stroke: #656c76; }
    .http { fill: #ab7df8; stroke: #ab7df8; }
    .hollow { fill: none; }
  }
`;

interface Marker {
  readonly contender: string;
  readonly title: string;
  readonly style: string;
  readonly shape: "circle" | "square" | "diamond";
}

const MARKERS: readonly Marker[] = [
  { contender: "bare-ws", title: "bare ws", style: "bare", shape: "square" },
  { contender: "bare-sockjs", title: "bare sockjs", style: "bare", shape: "circle" },
  { contender: "express", title: "Express over HTTP", style: "http", shape: "diamond" },
  { contender: "version-2", title: "version 2.1.11", style: "old", shape: "diamond" },
  { contender: "sockjs-memory", title: "SockJS, embedded store", style: "sockjs hollow", shape: "circle" },
  { contender: "ws-memory", title: "WebSocket, embedded store", style: "plain hollow", shape: "square" },
  { contender: "sockjs-redis", title: "SockJS, Redis", style: "sockjs", shape: "circle" },
  { contender: "ws-redis", title: "WebSocket, Redis", style: "plain", shape: "square" },
];

/** Draws how each contender compares with Socket.IO in each case, or with version 2 where Socket.IO has no part. */
export function plot({ cases }: Results): string {
  const height = TOP + cases.length * ROW + 40;
  const bottom = height - 34;
  const grid = TICKS.map(
    (
      tick,
    ) => `<line class="${tick === 1 ? "even" : "grid"}" x1="${x(tick)}" x2="${x(tick)}" y1="${TOP - 12}" y2="${bottom}"/>
  <text x="${x(tick)}" y="${bottom + 16}" text-anchor="middle">${tick}</text>`,
  );
  const legend = MARKERS.map(({ title, style, shape }, index) => {
    const [left, top] = [20 + (index % 4) * 215, 40 + Math.floor(index / 4) * 20];
    return `${draw(shape, style, left, top - 4)}<text x="${left + 12}" y="${top}">${title}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
  <title>How many times as good as Socket.IO</title>
  <style>${STYLE}</style>
  <text x="14" y="18">How many times as good as Socket.IO in the same round: the median and the spread. * as version 2</text>
  ${legend.join("\n  ")}
  ${grid.join("\n  ")}
  ${cases.map((result, index) => row(result, TOP + index * ROW)).join("\n  ")}
</svg>
`;
}

function row(result: CaseResult, top: number): string {
  const peer = contendersOf(result).some(({ name }) => name === "socket.io") ? "socket.io" : "version-2";
  const [metric] = metricsOf(result);
  const y = top + 4;
  const marks = MARKERS.map(({ contender, style, shape }, index) => {
    const ratio = metric && contender !== peer ? advantage(result, contender, peer, metric) : undefined;
    if (!ratio) return "";
    const own = y + (index - (MARKERS.length - 1) / 2) * STEP;
    return `<line class="spread ${style}" x1="${x(ratio.least)}" x2="${x(ratio.most)}" y1="${own}" y2="${own}"/>${draw(shape, style, x(ratio.median), own)}`;
  });
  const label = `${result.scenario}: ${result.name}${peer === "socket.io" ? "" : " *"}`;
  return `<text x="${LEFT - 12}" y="${y + 4}" text-anchor="end">${shorten(label)}</text>${marks.join("")}`;
}

function draw(shape: Marker["shape"], style: string, left: number, top: number): string {
  if (shape === "circle") return `<circle class="${style}" cx="${left}" cy="${top}" r="3.5"/>`;
  const turned = shape === "diamond" ? ` transform="rotate(45 ${left} ${top})"` : "";
  return `<rect class="${style}" x="${left - 3}" y="${top - 3}" width="6" height="6"${turned}/>`;
}

/** A logarithmic scale. */
function x(ratio: number): number {
  const within = Math.min(MOST, Math.max(LEAST, ratio));
  const part = Math.log(within / LEAST) / Math.log(MOST / LEAST);
  return Math.round((LEFT + part * (WIDTH - LEFT - RIGHT)) * 10) / 10;
}

function shorten(text: string): string {
  return text.length > 56 ? `${text.slice(0, 55)}…` : text;
}
