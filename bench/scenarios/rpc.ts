import { Calls } from "../load/calls.js";
import type { Session } from "../session.js";
import { number, type Scale, type Scenario, type Stage } from "./scenario.js";

/** Calls in both directions, of functions that give back what they get. */
export const rpc: Scenario = {
  name: "rpc",
  title: "Calls",
  unit: "call",
  async run(stage) {
    const { contender, scale, withServer } = stage;
    for (const functions of scale.rpc.functions) {
      await withServer({ functions }, async (session) => {
        const clients = await session.logIn(scale.rpc.sockets);
        const calls = new Calls(clients);
        const of = functions === 1 ? "one function" : `${number(functions)} functions`;
        const most = Math.max(...scale.rpc.outstanding);
        await calls.run("echo", most, scale.firstWarmUp);
        await run(stage, session, `${of}, `, (outstanding, time) => calls.run("echo", outstanding, time));
        if (functions > 1 || !scale.rpc.others) return;
        if (contender.features.includes("route")) {
          await calls.run("route", most, scale.firstWarmUp);
          await run(stage, session, "Express route, ", (outstanding, time) =>
            calls.run("route", outstanding, time),
          );
        }
        if (contender.features.includes("calls")) {
          for (const client of clients) client.answer();
          await session.server.call(most, scale.firstWarmUp);
          await run(stage, session, "server to client, ", (outstanding, time) =>
            session.server.call(outstanding, time),
          );
        }
      });
    }
  },
};

async function run(
  { scale, record }: Stage & { scale: Scale },
  session: Session,
  prefix: string,
  call: (outstanding: number, milliseconds: number) => Promise<number>,
): Promise<void> {
  for (const outstanding of scale.rpc.outstanding) {
    await call(outstanding, scale.warmUp);
    const figures = await session.measure(() => call(outstanding, scale.time));
    record(`${prefix}${scale.rpc.sockets} sockets, ${outstanding} outstanding`, figures);
  }
}
