import { number, type Scenario } from "./scenario.js";

/** How many messages are published in one turn of the event loop. */
const BATCH = 50;

/** Many channels with few sockets each; also through a filter, where there is one. */
export const manyChannels: Scenario = {
  name: "channels",
  title: "Fan-out over many channels",
  unit: "delivery",
  async run({ contender, scale, withServer, record }) {
    const { sockets, channels } = scale.many;
    const filters = contender.features.includes("filter") ? [false, true] : [false];
    for (const filter of filters) {
      await withServer({ filter }, async (session) => {
        const deliveries = await session.listen(sockets, channels, 100);
        await deliveries.saturate(BATCH, scale.firstWarmUp);
        const figures = await session.measure(() => deliveries.saturate(BATCH, scale.time));
        const name = `${number(sockets)} sockets in ${number(channels)} channels`;
        record(`${name}, 100 B${filter ? ", with a filter" : ""}`, figures);
      });
    }
  },
};
