import { Calls } from "../load/calls.js";
import type { Session } from "../session.js";
import { number, type Scenario, type Stage } from "./scenario.js";

/** How the names of the cases begin in which an Express handler is called. */
const ROUTE = "Express route, ";

/** Calls in both directions, of functions that give back what they get. */
export const rpc: Scenario = {
  name: "rpc",
  title: "Calls",
  unit: "call",
  async run(stage) {
    const { contender, scale, withServer } = stage;
    if (contender.framing === "http") return callByRequests(stage);
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
          await run(stage, session, ROUTE, (outstanding, time) => calls.run("route", outstanding, time));
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
  stage: Stage,
  session: Session,
  prefix: string,
  call: (outstanding: number, milliseconds: number) => Promise<number>,
): Promise<void> {
  for (const outstanding of stage.scale.rpc.outstanding) {
    await measure(stage, session, prefix, outstanding, (time) => call(outstanding, time));
  }
}

async function measure(
  { scale, record }: Stage,
  session: Session,
  prefix: string,
  outstanding: number,
  call: (milliseconds: number) => Promise<number>,
): Promise<void> {
  await call(scale.warmUp);
  const figures = await session.measure(() => call(scale.time));
  record(`${prefix}${scale.rpc.sockets} sockets, ${outstanding} outstanding`, figures);
}

/** Calls the route over HTTP, where each connection has one call outstanding: more of them take more connections. */
async function callByRequests(stage: Stage): Promise<void> {
  const { scale, withServer } = stage;
  if (!scale.rpc.others) return;
  for (const outstanding of scale.rpc.outstanding) {
    await withServer({}, async (session) => {
      const calls = new Calls(await session.logIn(scale.rpc.sockets * outstanding));
      await calls.run("route", 1, scale.firstWarmUp);
      await measure(stage, session, ROUTE, outstanding, (time) => calls.run("route", 1, time));
    });
  }
}
