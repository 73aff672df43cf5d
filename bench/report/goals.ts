import {
  advantage,
  byRound,
  type CaseResult,
  METRICS,
  type Metric,
  type Results,
  ratioText,
  type Spread,
  spread,
  spreadOf,
} from "./results.js";

/** What is to be reached, for both transports unless one is named. */
interface Goal {
  readonly what: string;
  readonly goal: string;
  readonly only?: string;
  measure(results: Results, contender: string): Spread | undefined;
  isReached(median: number): boolean;
}

/** By Redis, as most have it. */
const TRANSPORTS = ["sockjs-redis", "ws-redis"] as const;

const ONE_CALL = /^one function, .* 1 outstanding$/;

export const GOALS: readonly Goal[] = [
  atLeast(5, "fan-out in bursts of ten, ÷ Socket.IO", "socket.io", "fan-out", /100 B, bursts of ten$/),
  atLeast(7, "fan-out in bursts of ten, ÷ version 2", "version-2", "fan-out", /100 B, bursts of ten$/),
  {
    ...atLeast(1.3, "fan-out singly, ÷ Socket.IO", "socket.io", "fan-out", /100 B, singly$/),
    only: "sockjs-redis",
  },
  { ...atLeast(1, "fan-out singly, ÷ bare ws", "bare-ws", "fan-out", /100 B, singly$/), only: "ws-redis" },
  atLeast(3, "many channels, 1,000 at once, ÷ Socket.IO", "socket.io", "channels", /1,000 messages at once$/),
  atLeast(1.5, "calls, 20 outstanding, ÷ Socket.IO", "socket.io", "rpc", /^one function, .* 20 outstanding$/),
  atLeast(1, "calls, 1 outstanding, ÷ Socket.IO", "socket.io", "rpc", /^one function, .* 1 outstanding$/),
  {
    what: "calls of one of 1,000 functions, ÷ of the only one",
    goal: "as fast",
    measure: (results, contender) =>
      byRound(
        found(results, "rpc", /^[\d,]+ functions, .* 20 outstanding$/).rounds[contender],
        found(results, "rpc", /^one function, .* 20 outstanding$/).rounds[contender],
        metricOf("rate"),
      ),
    isReached: (ratio) => ratio >= 0.9,
  },
  atLeast(1, "calls of clients, 1 outstanding, ÷ Socket.IO", "socket.io", "rpc", /^server .* 1 outstanding$/),
  atLeast(
    1,
    "calls of clients, 20 outstanding, ÷ Socket.IO",
    "socket.io",
    "rpc",
    /^server .* 20 outstanding$/,
  ),
  atLeast(1 / 1.2, "latency at rest, p99, ÷ bare ws", "bare-ws", "latency", /./, "p99"),
  {
    ...atLeast(1.3, "a call's CPU, 1 outstanding, Socket.IO's ÷ ours", "socket.io", "rpc", ONE_CALL, "cpu"),
    only: "sockjs-redis",
  },
  {
    ...atLeast(0.95, "a call's CPU, 1 outstanding, bare ws's ÷ ours", "bare-ws", "rpc", ONE_CALL, "cpu"),
    only: "ws-redis",
  },
  atLeast(1.2, "a login's CPU, Socket.IO's ÷ ours", "socket.io", "storm", /at once$/, "cpu"),
  atLeast(1.6, "heap of an idle socket, Socket.IO's ÷ ours", "socket.io", "memory", /./, "heap"),
  {
    what: "heap of an idle socket, ÷ bare ws",
    goal: "1.70 at most",
    measure: (results, contender) => {
      const result = found(results, "memory", /./);
      const [own, bare] = [contender, "bare-ws"].map((name) => spreadOf(result, name, "heap"));
      return own && bare && spread([own.median / bare.median]);
    },
    isReached: (ratio) => ratio <= 1.7,
  },
  {
    what: "stalled: the others' rate, ÷ when all read",
    goal: "0.90",
    measure: (results, contender) => spreadOf(found(results, "stalled", /read nothing$/), contender, "kept"),
    isReached: (part) => part >= 0.9,
  },
];

const NOTHING: CaseResult = { scenario: "", title: "", unit: "", name: "", rounds: {} };

function atLeast(
  ratio: number,
  what: string,
  peer: string,
  scenario: string,
  name: RegExp,
  metric = "rate",
): Goal {
  return {
    what,
    goal: ratio.toFixed(2),
    measure: (results, contender) =>
      advantage(found(results, scenario, name), contender, peer, metricOf(metric)),
    isReached: (measured) => measured >= ratio,
  };
}

function found({ cases }: Results, scenario: string, name: RegExp): CaseResult {
  return cases.find((each) => each.scenario === scenario && name.test(each.name)) ?? NOTHING;
}

function metricOf(name: string): Metric {
  const metric = METRICS.find((each) => each.name === name);
  if (!metric) throw new RangeError(`There is no metric ${name}`);
  return metric;
}

/** What is to be reached, and what was: a heading, and a row for each goal that was measured. */
export function goalRows(results: Results): string[][] {
  const rows = GOALS.flatMap((goal) => {
    const cells = TRANSPORTS.map((name) => {
      const measured =
        goal.only === undefined || goal.only === name ? goal.measure(results, name) : undefined;
      if (!measured) return "";
      return `${ratioText(measured)}${goal.isReached(measured.median) ? "" : ", missed"}`;
    });
    return cells.some((cell) => cell !== "") ? [[goal.what, goal.goal, ...cells]] : [];
  });
  return [["", "to reach", "SockJS", "plain WebSocket"], ...rows];
}
