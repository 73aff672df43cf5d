import { expect } from "chai";
import type { Request } from "express";
import sinon from "sinon";
import type { Outcome } from "../../lib/server/cluster/inquiry.js";
import {
  SelectionCommands,
  type SelectionCommandsParts,
} from "../../lib/server/cluster/selection-commands.js";
import { Commands } from "../../lib/server/log/commands.js";
import type { Reporter } from "../../lib/server/log/reporter.js";
import { DisconnectedError } from "../../lib/shared/call-errors.js";
import { failureOf, settled } from "../support/cluster-scene.js";

const outcome: Outcome = {
  answers: ["1", "2"].map((sid) => ({ sid, server: "there", value: true })),
  missing: [],
  count: 3,
  found: [],
  isMore: false,
};

type Callback = (error?: unknown) => void;

describe("The server's own commands for selected sockets", () => {
  let isClosed: boolean;
  let cluster: Record<"refresh" | "disconnect", sinon.SinonStub>;
  let servers: sinon.SinonStub;
  let reporter: Record<"error" | "debug", sinon.SinonSpy>;
  let commands: SelectionCommands<unknown>;

  const commandsWith = (hasIdentities: boolean) =>
    new SelectionCommands({
      commands: new Commands(reporter as unknown as Reporter, () => isClosed),
      cluster,
      registry: { servers },
      hasIdentities,
    } as unknown as SelectionCommandsParts<unknown>);

  beforeEach(() => {
    isClosed = false;
    cluster = { refresh: sinon.stub().resolves(outcome), disconnect: sinon.stub().resolves(outcome) };
    servers = sinon.stub().resolves([{ id: "here" }]);
    reporter = { error: sinon.spy(), debug: sinon.spy((text: () => string) => text()) };
    commands = commandsWith(true);
  });

  it("count the sockets that were told by name, and those of older servers", async () => {
    expect(await commands.disconnect({ identity: "ann" }, { code: 4100 })).to.equal(5);
    expect(await commands.refresh({ sessionId: "s" })).to.equal(5);
    const ofAnn = { by: "identity", value: "ann" };
    sinon.assert.calledOnceWithExactly(cluster.disconnect, ofAnn, 4100, "Disconnected");
    sinon.assert.calledOnceWithExactly(cluster.refresh, { by: "sessionId", value: "s" });
  });

  it("list the servers", async () => {
    expect(await commands.servers()).to.deep.equal([{ id: "here" }]);
  });

  it("say what has failed", async () => {
    const failure = new Error("away");
    for (const stub of [cluster.refresh, cluster.disconnect, servers]) stub.rejects(failure);
    for (const [context, act] of [
      ["disconnecting sockets failed", () => commands.disconnect({ sid: "1" }, null)],
      ["refreshing sockets failed", () => commands.refresh({ sid: "1" })],
      ["listing the servers failed", () => commands.servers()],
    ] as const) {
      expect(await failureOf(act())).to.equal(failure);
      sinon.assert.calledOnceWithExactly(reporter.error, context, failure);
      reporter.error.resetHistory();
    }
  });

  it("are for nobody where the selector is none, and for no channel", async () => {
    for (const selector of [{}, null, { channel: "room" }, { sid: "1", identity: "ann" }]) {
      expect(await failureOf(commands.disconnect(selector as never, {}))).to.be.instanceOf(TypeError);
      expect(await failureOf(commands.refresh(selector as never))).to.be.instanceOf(TypeError);
    }
    expect(await failureOf(commands.disconnect({ sid: "1" }, { code: 1 }))).to.be.instanceOf(TypeError);
    commands = commandsWith(false);
    for (const promise of [commands.refresh({ identity: "a" }), commands.disconnect({ identity: "a" }, {})]) {
      expect(await failureOf(promise)).to.have.property(
        "message",
        "A selector { identity } needs options.identify",
      );
    }
    for (const stub of Object.values(cluster)) sinon.assert.notCalled(stub);
  });

  describe("log out", () => {
    let done: unknown[];
    /** Called by the store when the session is gone. */
    let forget: Callback;
    let request: Request;

    beforeEach(() => {
      done = [];
      forget = () => {};
      cluster.disconnect.callsFake(async (...given: unknown[]) => {
        done.push(given);
        return outcome;
      });
      const session = {
        destroy: (callback: Callback) => {
          done.push("destroy");
          forget = callback;
        },
        regenerate: (callback: Callback) => {
          done.push("regenerate");
          callback();
        },
      };
      request = { sessionID: "s", session } as unknown as Request;
    });

    const bySession = { by: "sessionId", value: "s" };

    it("close the session's sockets before it ends, and again when it has, then for good", async () => {
      const loggingOut = commands.logout(request, { code: 4100, reason: "Out" });
      await settled();
      expect(done).to.deep.equal([[bySession, 4100, "Out", false], "destroy"]);
      forget();
      await loggingOut;
      expect(done.slice(2)).to.deep.equal([[bySession, 4100, "Out", true]]);
    });

    it("begin a new session where that is wanted", async () => {
      for (const regenerate of [true, false, "true", undefined]) {
        done.length = 0;
        const loggingOut = commands.logout(request, { regenerate } as never);
        await settled();
        forget();
        await loggingOut;
        expect(done.includes("regenerate")).to.equal(regenerate === true);
      }
    });

    it("do so where the first word of it fails, since the second is the one that counts", async () => {
      cluster.disconnect.onFirstCall().rejects(new Error("away"));
      const loggingOut = commands.logout(request, {});
      await settled();
      forget();
      await loggingOut;
      expect(done).to.deep.equal(["destroy", [bySession, 4001, "Disconnected", true]]);
      sinon.assert.notCalled(reporter.error);
    });

    it("say so where the session has ended, and its sockets may be open", async () => {
      const failure = new Error("away");
      cluster.disconnect.onSecondCall().rejects(failure);
      const failing = failureOf(commands.logout(request, {}));
      await settled();
      forget();
      expect(await failing).to.equal(failure);
      sinon.assert.calledOnceWithExactly(reporter.error, "a logout failed", failure);
    });

    it("end nothing for good where the session stays", async () => {
      const failure = new Error("no room");
      const failing = failureOf(commands.logout(request, {}));
      await settled();
      forget(failure);
      expect(await failing).to.equal(failure);
      expect(done).to.deep.equal([[bySession, 4001, "Disconnected", false], "destroy"]);
    });

    it("end no session where there is none, or where it cannot be closed so", async () => {
      const wrong = [commands.logout({} as Request, {}), commands.logout(request, { code: 1 })];
      for (const promise of wrong) expect(await failureOf(promise)).to.be.instanceOf(TypeError);
      expect(done).to.deep.equal([]);
    });

    it("end the session also where the server is shut down, and say that its sockets were not closed", async () => {
      isClosed = true;
      const failing = failureOf(commands.logout(request, {}));
      await settled();
      forget();
      expect(await failing).to.be.instanceOf(DisconnectedError);
      expect(done).to.deep.equal(["destroy"]);
    });
  });
});
