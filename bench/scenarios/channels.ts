import { number, type Scenario } from "./scenario.js";

/** Many channels, of which each socket is in some; also through a filter, where there is one. */
export const manyChannels: Scenario = {
  name: "channels",
  title: "Fan-out over many channels",
  unit: "delivery",
  async run({ contender, scale, withServer, record }) {
    const { sockets, channels, each, batches } = scale.many;
    const filters = contender.features.includes("filter") ? [false, true] : [false];
    for (const filter of filters) {
      await withServer({ filter }, async (session) => {
        const deliveries = await session.listen(sockets, channels, 100, each);
        for (const [index, batch] of batches.entries()) {
          await deliveries.saturate(batch, index === 0 ? scale.firstWarmUp : scale.warmUp);
          const figures = await session.measure(() => deliveries.saturate(batch, scale.time));
          const name = `${number(sockets)} sockets, each in ${each} of ${number(channels)} channels`;
          record(
            `${name}, 100 B, ${number(batch)} messages at once${filter ? ", with a filter" : ""}`,
            figures,
          );
        }
      });
    }
  },
};
