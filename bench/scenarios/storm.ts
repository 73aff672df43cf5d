import { number, type Scenario } from "./scenario.js";

/** Clients that all come at once: token, connection, identity, three channels. */
export const storm: Scenario = {
  name: "storm",
  title: "Connection storm",
  unit: "login",
  async run({ scale, withServer, record }) {
    const { logins } = scale;
    await withServer({}, async (session) => {
      // what is compiled once is compiled before
      await session.logIn(logins, (index) => threeChannels(-1 - index));
      const figures = await session.measure(async () => {
        await session.logIn(logins, threeChannels);
        return logins;
      });
      record(`${number(logins)} logins, 50 at once`, figures);
    });
  },
};

/** One that all are in, one of a group, and the user's own. */
export function threeChannels(index: number): string[] {
  return ["everybody", `group-${index % 100}`, `user-${index}`];
}
