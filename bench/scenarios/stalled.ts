import { channelOf } from "../messages.js";
import type { Figures, Session } from "../session.js";
import { percentiles } from "./latency.js";
import { number, type Scenario } from "./scenario.js";

/** Bytes of a message to all. */
const SIZE = 1000;
/** Bytes of a message to those that do not read alone. */
const FILLING = 16_384;
/** How many of these are published before the server is waited for. */
const AT_ONCE = 20;

/** The others while one in a hundred reads nothing. */
export const stalled: Scenario = {
  name: "stalled",
  title: "Fan-out while 1 % of the sockets read nothing",
  unit: "delivery",
  isLong: true,
  async run({ scale, withServer, record }) {
    const { sockets, filling } = scale.stalled;
    await withServer({}, async (session) => {
      const count = Math.max(1, sockets / 100);
      const stalling = await session.logIn(count, () => [channelOf(0, 2), channelOf(1, 2)]);
      const deliveries = await session.listen(sockets - count, 1, SIZE);
      const measure = async (): Promise<Figures> => {
        const figures = await session.measure(() => deliveries.saturate(1, scale.time));
        return { ...figures, ...percentiles(await deliveries.pace(10, scale.time)) };
      };
      await deliveries.saturate(1, scale.firstWarmUp);
      const alone = await measure();
      const before = await session.server.memory();
      for (const client of stalling) client.stall();
      await fill(session, filling);
      await deliveries.saturate(1, scale.warmUp);
      const figures = await measure();
      const after = await session.server.memory();
      record(`${number(sockets)} sockets, 1 KB, singly, all read`, alone);
      record(`${number(sockets)} sockets, 1 KB, singly, ${number(count)} read nothing`, {
        ...figures,
        kept: (figures.rate ?? Number.NaN) / (alone.rate ?? Number.NaN),
        growth: (after.rss - before.rss) / 1_048_576,
      });
    });
  },
};

/** Publishes on the second channel, which the others are not in, what the system cannot buffer any more. */
async function fill(session: Session, messages: number): Promise<void> {
  for (let sent = 0; sent < messages; sent += AT_ONCE) {
    for (let each = 0; each < AT_ONCE; each++) {
      session.publish({ first: 1, count: 1, size: FILLING, channels: 2 });
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
    await session.server.usage();
  }
}
