import { bytes, number, type Scenario } from "./scenario.js";

/** One channel, as fast as the server can. */
export const fanOut: Scenario = {
  name: "fan-out",
  title: "Fan-out: all sockets in one channel",
  unit: "delivery",
  async run({ scale, withServer, record }) {
    const { fanOut: counts, sizes, firstWarmUp, warmUp, time } = scale;
    for (const sockets of counts) {
      await withServer({}, async (session) => {
        const deliveries = await session.listen(sockets, 1, 100);
        await deliveries.saturate(1, firstWarmUp / 2);
        await deliveries.saturate(10, firstWarmUp / 2);
        for (const size of sizes) {
          deliveries.size = size;
          for (const burst of [1, 10]) {
            await deliveries.saturate(burst, warmUp);
            const figures = await session.measure(() => deliveries.saturate(burst, time));
            const how = burst === 1 ? "singly" : "bursts of ten";
            record(`${number(sockets)} sockets, ${bytes(size)}, ${how}`, figures);
          }
        }
      });
    }
  },
};
