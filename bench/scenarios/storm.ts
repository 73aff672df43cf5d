import { number, type Scenario } from "./scenario.js";

/** How often all log in before the last time: it takes some thousand logins until all that serves them is compiled. */
const WARM_UPS = 3;

/** Clients that all come at once: token, connection, identity, three channels. */
export const storm: Scenario = {
  name: "storm",
  title: "Connection storm",
  unit: "login",
  async run({ scale, withServer, record }) {
    const { logins } = scale;
    await withServer({}, async (session) => {
      let before = 0;
      const logIn = async () => {
        await session.logIn(logins, (index) => threeChannels(before + index));
        before += logins;
        return logins;
      };
      const first = await session.measure(logIn);
      for (let time = 0; time < WARM_UPS; time++) await logIn();
      record(`${number(logins)} logins, 50 at once`, await session.measure(logIn));
      record(`the first ${number(logins)} logins of a process`, first);
    });
  },
};

/** One that all are in, one of a group, and the user's own. */
export function threeChannels(index: number): string[] {
  return ["everybody", `group-${index % 100}`, `user-${index}`];
}
