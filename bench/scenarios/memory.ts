import { number, type Scenario } from "./scenario.js";
import { threeChannels } from "./storm.js";

/** What a socket that does nothing costs. */
export const memory: Scenario = {
  name: "memory",
  title: "Memory for each idle socket in three channels",
  unit: "socket",
  isLong: true,
  async run({ scale, withServer, record }) {
    await withServer({}, async (session) => {
      await session.logIn(20, threeChannels);
      const before = await session.server.memory();
      await session.logIn(scale.idle, (index) => threeChannels(20 + index));
      const after = await session.server.memory();
      const each = (name: "rss" | "heap") => (after[name] - before[name]) / scale.idle / 1024;
      record(`${number(scale.idle)} sockets`, { rss: each("rss"), heap: each("heap") });
    });
  },
};
