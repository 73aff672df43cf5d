import { manyChannels } from "./scenarios/channels.js";
import { fanOut, largeFanOut } from "./scenarios/fan-out.js";
import { growth } from "./scenarios/growth.js";
import { history } from "./scenarios/history.js";
import { latency } from "./scenarios/latency.js";
import { memory } from "./scenarios/memory.js";
import { presence } from "./scenarios/presence.js";
import { rpc } from "./scenarios/rpc.js";
import type { Scale, Scenario } from "./scenarios/scenario.js";
import { stalled } from "./scenarios/stalled.js";
import { storm } from "./scenarios/storm.js";

export const SCENARIOS: readonly Scenario[] = [
  fanOut,
  largeFanOut,
  manyChannels,
  rpc,
  latency,
  storm,
  memory,
  stalled,
  growth,
  presence,
  history,
];

/** For figures to publish. */
const full: Scale = {
  rounds: 3,
  longRounds: 2,
  freshServers: true,
  firstWarmUp: 1500,
  warmUp: 300,
  time: 1000,
  fanOut: { sockets: 1000, manySockets: 5000, sizes: [100, 1000] },
  many: { sockets: 5000, channels: 1000, each: 5, batches: [50, 1000] },
  rpc: { sockets: 50, outstanding: [1, 20], functions: [1, 1000], others: true },
  latency: { sockets: 1000, channels: 100, perSecond: 200 },
  logins: 1000,
  idle: 10_000,
  stalled: { sockets: 1000, filling: 1000 },
  growth: { sockets: [100, 1000, 10_000], channels: [10, 100_000], servers: [1, 10, 100] },
  history: { returning: 1000, missed: 500, channels: [1, 100], kept: 1000 },
};

/** For a look at what matters most, in less than two minutes. */
const quick: Scale = {
  ...full,
  rounds: 2,
  longRounds: 1,
  firstWarmUp: 200,
  warmUp: 100,
  time: 200,
  fanOut: { ...full.fanOut, sizes: [100] },
  rpc: { ...full.rpc, functions: [1], others: false },
};

/** To see that it works. */
const smoke: Scale = {
  rounds: 1,
  longRounds: 1,
  freshServers: false,
  firstWarmUp: 5,
  warmUp: 5,
  time: 20,
  fanOut: { sockets: 4, manySockets: 6, sizes: [100] },
  many: { sockets: 6, channels: 6, each: 3, batches: [2, 1000] },
  rpc: { sockets: 2, outstanding: [1, 20], functions: [1, 3], others: true },
  latency: { sockets: 4, channels: 2, perSecond: 100 },
  logins: 5,
  // as many as are more than what else the heap does
  idle: 250,
  stalled: { sockets: 10, filling: 20 },
  growth: { sockets: [4], channels: [10], servers: [3] },
  history: { returning: 6, missed: 20, channels: [1, 3], kept: 20 },
};

export const SCALES = { full, quick, smoke };

/** The scenarios that a quick run has. */
export const QUICK: readonly string[] = ["fan-out", "rpc"];
