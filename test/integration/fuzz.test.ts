import fc from "fast-check";
import { Application } from "../support/application.js";
import { babble, converse } from "../support/fuzz/conversation.js";
import { crowds, letIn, type ServerDoing } from "../support/fuzz/crowd.js";
import { anything, harmless, messagesOf } from "../support/fuzz/frames.js";
import { addGuards, fuzzedOptions } from "../support/fuzz/fuzzed-server.js";
import { checkAll, printSeed } from "../support/fuzz/seed.js";
import { Witness } from "../support/fuzz/witness.js";

describe("arbitrary frames in arbitrary order", () => {
  let application: Application;
  let witness: Witness;

  before(async () => {
    application = await Application.start({ options: fuzzedOptions });
    addGuards(application.tokenServer);
    witness = await Witness.of(application);
  });

  after(() => witness.end());

  afterEach(printSeed);

  const place = () => ({ url: application.url, token: () => application.token() });

  /** Calls the newest socket; that it is gone before it has answered is no fault. */
  const call = (command: string) =>
    application.tokenServer
      .rpc(application.socket(), command, null, { timeout: Number.POSITIVE_INFINITY })
      .catch((error: unknown) => error);

  for (const protocol of [3, 4] as const) {
    it(`get each call one reply, and harm nobody, with protocol ${protocol}`, async () => {
      await checkAll(messagesOf(harmless), async (messages) => {
        const calls: Promise<unknown>[] = [];
        await converse(place(), protocol, messages, () => calls.push(call("one"), call("two")));
        await Promise.all(calls);
        await witness.check();
      });
    });
  }

  it("get no request more than one reply, and harm nobody, with and without authentication", async () => {
    await checkAll(fc.tuple(fc.boolean(), messagesOf(anything)), async ([authenticated, messages]) => {
      await babble(place(), authenticated, messages);
      await witness.check();
    });
  });

  it("of several sockets side by side harm nobody, whatever the server does to them meanwhile", async () => {
    const { tokenServer } = application;
    const doing: Promise<unknown>[] = [];
    const does: Record<ServerDoing, () => Promise<unknown>> = {
      call: () => call("one"),
      refresh: () => tokenServer.refresh({ identity: "fuzzer" }),
      publish: () => tokenServer.publish("a", { at: 1 }),
      broadcast: () => tokenServer.broadcast(false),
      unsubscribeAll: () => tokenServer.unsubscribeAll("a"),
      disconnect: () => tokenServer.disconnect({ sid: tokenServer.sockets().at(-1)?.sid ?? "none" }),
    };
    await checkAll(crowds, async (steps) => {
      await letIn(steps, {
        ...place(),
        serverDoes: (what) => {
          // the first socket is the witness's
          if (tokenServer.sockets().length > 1) doing.push(does[what]());
        },
      });
      await witness.check();
      await Promise.all(doing.splice(0));
    });
  });
});
