import { channelOf } from "../messages.js";
import { percentiles } from "./latency.js";
import { number, type Scenario } from "./scenario.js";

/** Bytes of a message: enough to fill what the system buffers for those that do not read. */
const SIZE = 1024;

/** The others while one in a hundred reads nothing. */
export const stalled: Scenario = {
  name: "stalled",
  title: "Fan-out while 1 % of the sockets read nothing",
  unit: "delivery",
  isLong: true,
  async run({ scale, withServer, record }) {
    const { sockets, time } = scale.stalled;
    await withServer({}, async (session) => {
      const stalling = await session.logIn(Math.max(1, sockets / 100), () => [channelOf(0, 1)]);
      for (const client of stalling) client.stall();
      const deliveries = await session.listen(sockets - stalling.length, 1, SIZE);
      await deliveries.saturate(1, scale.warmUp);
      const before = await session.server.memory();
      const figures = await session.measure(() => deliveries.saturate(1, time));
      const delays = await deliveries.pace(10, Math.min(time, 1000));
      const after = await session.server.memory();
      record(`${number(sockets)} sockets, 1 KB, singly`, {
        ...figures,
        ...percentiles(delays),
        growth: (after.rss - before.rss) / 1_048_576,
      });
    });
  },
};
