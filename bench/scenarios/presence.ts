import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "../load/client.js";
import { RedisFigures } from "../redis-figures.js";
import type { Session } from "../session.js";
import { number, type Scenario } from "./scenario.js";

const CHANNEL = "members";

/** How long changes are collected, in milliseconds: the server is at rest after that. */
const COLLECTED = 100;

/** Within how many measurements the registry of servers has written some times. */
const IDLE_TIMES = 12;

/** What it costs to know who is in a channel: when users join and leave, and when nobody does anything. */
export const presence: Scenario = {
  name: "presence",
  title: "Presence",
  unit: "join and leave",
  isLong: true,
  async run({ contender, scale, withServer, record }) {
    const hasPresence = contender.features.includes("presence");
    for (const isOn of hasPresence ? [false, true] : [false]) {
      await withServer({ presence: isOn }, async (session) => {
        const clients = await session.logIn(scale.logins);
        await comeAndGo(clients, scale.firstWarmUp);
        const figures = await session.measure(() => comeAndGo(clients, scale.time));
        record(`${number(scale.logins)} users, ${isOn ? "with" : "without"} presence`, figures);
      });
    }
    if (!hasPresence || contender.store !== "redis") return;
    await withServer({ presence: true }, async (session) => {
      await session.logIn(scale.idle, () => [CHANNEL]);
      await delay(COLLECTED);
      const commands = await commandsASecond(session, scale.time * IDLE_TIMES);
      record(`${number(scale.idle)} members that do nothing`, { commands });
    });
  },
};

/** All join one channel, and then leave it; resolves with how many have. */
async function comeAndGo(clients: readonly Client[], milliseconds: number): Promise<number> {
  const end = performance.now() + milliseconds;
  let times = 0;
  do {
    await Promise.all(clients.map((client) => client.subscribe(CHANNEL)));
    await delay(COLLECTED);
    await Promise.all(clients.map((client) => client.unsubscribe(CHANNEL)));
    await delay(COLLECTED);
    times += clients.length;
  } while (performance.now() < end);
  return times;
}

async function commandsASecond({ redis }: Session, milliseconds: number): Promise<number> {
  const figures = await RedisFigures.connect(Number(redis));
  const { commands } = await figures.measure(() => delay(milliseconds));
  figures.close();
  return commands / (milliseconds / 1000);
}
