import { Calls } from "../load/calls.js";
import type { Client } from "../load/client.js";
import { number, type Scenario } from "./scenario.js";

/** Below the number of channels that one socket may be in by default. */
const CHANNELS_PER_SOCKET = 900;
/** Requests that one socket has under way. */
const AT_ONCE = 50;

/** What a delivery costs with more sockets, a join and a leave with more channels, and a message to a user with more servers: always the same, it should be. */
export const growth: Scenario = {
  name: "growth",
  title: "Growth",
  unit: "delivery, join and leave, or message",
  isLong: true,
  async run({ contender, scale, withServer, record }) {
    for (const sockets of scale.growth.sockets) {
      await withServer({}, async (session) => {
        const deliveries = await session.listen(sockets, 1, 100);
        await deliveries.saturate(1, scale.firstWarmUp);
        const figures = await session.measure(() => deliveries.saturate(1, scale.time));
        record(`delivery, ${number(sockets)} sockets`, figures);
      });
    }
    for (const channels of scale.growth.channels) {
      await withServer({}, async (session) => {
        const count = Math.ceil(channels / CHANNELS_PER_SOCKET);
        const clients = await session.logIn(count);
        await Promise.all(clients.map((client, index) => fill(client, index, channels / count)));
        const [guest] = await session.logIn(1);
        if (!guest) return;
        await comeAndGo(guest, scale.firstWarmUp);
        const figures = await session.measure(() => comeAndGo(guest, scale.time));
        record(`join and leave, ${number(channels)} channels`, figures);
      });
    }
    if (!contender.features.includes("reach")) return;
    for (const servers of scale.growth.servers) {
      await withServer({ servers }, async (session) => {
        const calls = new Calls(await session.logIn(1), true);
        await calls.run("reach", AT_ONCE, scale.firstWarmUp);
        const figures = await session.measure(() => calls.run("reach", AT_ONCE, scale.time));
        record(`message to a user, ${number(servers)} servers`, figures);
      });
    }
  },
};

async function fill(client: Client, index: number, channels: number): Promise<void> {
  for (let first = 0; first < channels; first += AT_ONCE) {
    const count = Math.min(AT_ONCE, Math.ceil(channels - first));
    await Promise.all(
      Array.from({ length: count }, (_, number) => client.subscribe(`filling-${index}-${first + number}`)),
    );
  }
}

/** Joins and leaves channels that nobody else is in; resolves with how many times. */
async function comeAndGo(client: Client, milliseconds: number): Promise<number> {
  const end = performance.now() + milliseconds;
  let times = 0;
  const lane = async (index: number) => {
    while (performance.now() < end) {
      await client.subscribe(`guest-${index}`);
      await client.unsubscribe(`guest-${index}`);
      times++;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => lane(index)));
  return times;
}
