import { bytes, number, type Scenario, type Stage } from "./scenario.js";

/** One channel, as fast as the server can. */
export const fanOut: Scenario = {
  name: "fan-out",
  title: "Fan-out: all sockets in one channel",
  unit: "delivery",
  run: (stage) => run(stage, stage.scale.fanOut.sockets),
};

/** With many more sockets. */
export const largeFanOut: Scenario = {
  name: "large-fan-out",
  title: "Fan-out to many sockets in one channel",
  unit: "delivery",
  isLong: true,
  run: (stage) => run(stage, stage.scale.fanOut.manySockets),
};

async function run({ scale, withServer, record }: Stage, sockets: number): Promise<void> {
  const { firstWarmUp, warmUp, time } = scale;
  await withServer({}, async (session) => {
    const deliveries = await session.listen(sockets, 1, 100);
    await deliveries.saturate(1, firstWarmUp / 2);
    await deliveries.saturate(10, firstWarmUp / 2);
    for (const size of scale.fanOut.sizes) {
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
