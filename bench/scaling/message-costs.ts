import { loadavg } from "node:os";
import { CONTENDERS } from "../contenders.js";
import { run } from "../run.js";
import type { Scenario } from "../scenarios/scenario.js";
import { SCALES } from "../scenarios.js";
import { machine, versions } from "../versions.js";
import { CONTENDER, type Constants } from "./constants.js";
import { type MessageCost, splitTurn } from "./turn.js";

/** How many members each channel has, and how many messages are published at once, each on a channel of its own. */
const MEMBERS = [1, 10];
const AT_ONCE = [1, 50];

interface MessageScale {
  readonly rounds: number;
  readonly sockets: number;
  /** Milliseconds before the first measurement, before each other one, and of each. */
  readonly firstWarmUp: number;
  readonly warmUp: number;
  readonly time: number;
}

export const MESSAGE_SCALE: MessageScale = {
  rounds: 3,
  sockets: 500,
  firstWarmUp: 1000,
  warmUp: 300,
  time: 1000,
};

/** Measures what messages cost a server by how many come at once, which tells the turn of its event loop from what is in it. */
export async function measureMessages(scale: MessageScale = MESSAGE_SCALE): Promise<Constants> {
  const [loadAverage = 0] = loadavg();
  const costs: MessageCost[] = [];
  const scenario: Scenario = {
    name: "messages",
    title: "Messages that come at once",
    unit: "message",
    async run({ withServer }) {
      for (const members of MEMBERS) {
        await withServer({}, async (session) => {
          const deliveries = await session.listen(scale.sockets, scale.sockets / members, 100);
          await deliveries.saturate(10, scale.firstWarmUp);
          for (const atOnce of AT_ONCE) {
            await deliveries.saturate(atOnce, scale.warmUp);
            const { cpu = Number.NaN } = await session.measure(() => deliveries.saturate(atOnce, scale.time));
            costs.push({ members, atOnce, cpu: cpu * members });
          }
        });
      }
    },
  };
  const contenders = CONTENDERS.filter(({ name }) => name === CONTENDER);
  const plan = { contenders, scenarios: [scenario], scale: { ...SCALES.full, rounds: scale.rounds } };
  const { failures, redisVersion } = await run(plan);
  if (failures[0]) throw new Error(failures[0].message);
  const all = versions(redisVersion);
  const measured = {
    date: new Date().toISOString().slice(0, 10),
    machine: machine(),
    loadAverage,
    versions: ["node-token-sockjs", "Node.js", "Redis", "redis"]
      .map((name) => `${name} ${all[name]}`)
      .join(", "),
  };
  const { turn, message } = splitTurn(costs);
  const from = `${scale.sockets} sockets, messages ${AT_ONCE.join(" and ")} at once, to ${MEMBERS.join(" and ")} each`;
  const constant = (title: string, value: number) => ({
    value: Number(value.toPrecision(4)),
    unit: "µs",
    title,
    from,
    measured,
  });
  return {
    turn: constant("a turn of the event loop, on a busy server", turn),
    message: constant("a message from Redis in it, without its deliveries", message),
  };
}
