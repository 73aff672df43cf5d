import { number, type Scenario } from "./scenario.js";

/** How long a message takes when the server has little to do. */
export const latency: Scenario = {
  name: "latency",
  title: "From publish to receipt, at a fixed rate",
  unit: "delivery",
  async run({ scale, withServer, record }) {
    const { sockets, channels, perSecond } = scale.latency;
    await withServer({}, async (session) => {
      const deliveries = await session.listen(sockets, channels, 100);
      // a server that has run for a while has compiled its code, however little it has to do
      await deliveries.saturate(10, scale.firstWarmUp);
      await deliveries.pace(perSecond, scale.warmUp);
      let delays: number[] = [];
      const { cpu, busy, loadBusy } = await session.measure(async () => {
        delays = await deliveries.pace(perSecond, scale.time * 5);
        return delays.length;
      });
      const each = number(sockets / channels);
      record(
        `${number(sockets)} sockets in ${number(channels)} channels, ${number(perSecond)} messages a second to ${each} each`,
        { ...percentiles(delays), cpu: cpu ?? 0, busy: busy ?? 0, loadBusy: loadBusy ?? 0 },
      );
    });
  },
};

/** Of microseconds, in milliseconds. */
export function percentiles(sorted: readonly number[]): Record<"p50" | "p99" | "p999", number> {
  const at = (part: number) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0) / 1000;
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999) };
}
