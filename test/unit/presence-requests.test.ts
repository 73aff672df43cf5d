import { expect } from "chai";
import sinon from "sinon";
import type { ChannelClient } from "../../lib/server/connection/channel-client.js";
import {
  type PresenceRequest,
  type PresenceRequestParts,
  PresenceRequests,
} from "../../lib/server/connection/presence-requests.js";
import type { GuardResult } from "../../lib/server/events/guards.js";
import type { ListPage } from "../../lib/server/presence/live-members.js";
import type { Outcome } from "../../lib/shared/errors.js";
import {
  FORBIDDEN,
  INTERNAL_ERROR,
  INVALID_REQUEST,
  NO_PRESENCE,
  STATE_TOO_LONG,
  TOO_MANY_CHANNELS,
  TOO_MANY_MEMBERS,
  UNAVAILABLE,
} from "../../lib/shared/refusals.js";

interface User {
  id: number;
}

const HEAD = { rpc: "_presence", uuid: 1 };
const PAGE: ListPage = { v: 3, count: 2, members: ['{"key":"7"}', '{"key":"8"}'], next: "8" };

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("The requests of a client about channels' members", () => {
  let isGuarded: boolean;
  /** The channels that the client is in, and those that it observes. */
  let member: Set<string>;
  let observed: Set<string>;
  /** What Redis does with a request, and what the guards and the schema say. */
  let load: () => Promise<ListPage>;
  let write: () => Promise<{ isMember: boolean } | undefined>;
  let check: (state: unknown) => Outcome | Promise<Outcome>;
  let verdict: () => Promise<GuardResult>;
  let client: ReturnType<typeof makeClient>;
  let decide: sinon.SinonSpy;
  let set: sinon.SinonSpy;
  let forget: sinon.SinonSpy;
  let reported: sinon.SinonSpy;
  let asked: unknown[];
  let requests: PresenceRequests<User>;

  const makeClient = () => ({
    closed: false,
    rights: 0,
    usage: { key: "7" } as { key: string } | undefined,
    socket: { sid: "1" },
    refuse: sinon.spy(),
    acknowledge: sinon.spy(),
    answer: sinon.spy(),
    send: sinon.spy(),
  });

  beforeEach(() => {
    isGuarded = false;
    [member, observed] = [new Set(["room"]), new Set()];
    load = async () => PAGE;
    write = async () => ({ isMember: true });
    check = (value) => ({ status: "result", value });
    verdict = async () => ({ allowed: true });
    client = makeClient();
    [set, forget, reported] = [sinon.spy(), sinon.spy(), sinon.spy()];
    decide = sinon.spy((_head: unknown, _channel: string, allowed: () => unknown) => allowed());
    asked = [];
    const presence = {
      has: (channel: string) => channel !== "plain",
      observe: async (_client: unknown, channel: string, answer: (page: ListPage) => boolean) => {
        if (answer(await load())) observed.add(channel);
      },
      page: (_client: unknown, channel: string, after: number) =>
        observed.has(channel) ? { ...PAGE, v: after } : undefined,
      observes: (_client: unknown, channel: string) => observed.has(channel),
      observedBy: () => [...observed],
      unobserve: (_client: unknown, channel: string) => observed.delete(channel),
      set: (...args: unknown[]) => {
        set(...args.slice(1));
        return write();
      },
      forget,
    };
    const parts = {
      presence,
      stateSchemas: { check: (_channel: string, state: unknown) => check(state) },
      exposeErrors: false,
      limits: { channelsPerSocket: 2, presenceBytes: 10 },
      guards: {
        has: (name: string) => name === "presence" && isGuarded,
        decide: (...args: unknown[]) => {
          asked.push(args);
          return verdict();
        },
      },
      pubsub: { memberships: { has: (_client: unknown, channel: string) => member.has(channel) } },
      reporter: { error: reported },
    };
    requests = new PresenceRequests<User>(
      client as unknown as ChannelClient<User>,
      parts as unknown as PresenceRequestParts<User>,
      decide,
    );
  });

  const handle = (request: object, channel = "room") =>
    requests.handle({ type: "presence", head: HEAD, channel, ...request } as PresenceRequest);
  const observe = (channel?: string) => handle({ kind: "observe" }, channel);
  const setState = (state: unknown) => handle({ kind: "set", state });

  /** Expects the one refusal that there was. */
  const refused = (error: unknown) => {
    expect(client.refuse.args).to.deep.equal([[HEAD, error]]);
    expect([client.answer.callCount, client.acknowledge.callCount]).to.deep.equal([0, 0]);
  };

  it("are refused for a channel that has no members", async () => {
    await observe("plain");
    refused(NO_PRESENCE);
  });

  describe("to observe them", () => {
    it("are answered with the first page, and with the client's own key where it is in the channel", async () => {
      await observe();
      expect(client.answer.args).to.deep.equal([
        [HEAD, '{"v":3,"count":2,"members":[{"key":"7"},{"key":"8"}],"me":"7","next":"8"}'],
      ]);
      expect([...observed]).to.deep.equal(["room"]);
      expect(decide.callCount).to.equal(0);
    });

    it("are answered without a list where only the number is told, and without a key where there is none", async () => {
      load = async () => ({ v: 3, count: 2 }) as ListPage;
      client.usage = undefined;
      await observe();
      expect(client.answer.args).to.deep.equal([[HEAD, '{"v":3,"count":2}']]);
    });

    it("are refused without a guard where the client is not in the channel, or has left when Redis answers", async () => {
      let loads = 0;
      load = async () => {
        loads++;
        return PAGE;
      };
      await observe("other");
      refused(FORBIDDEN);
      // nor is Redis asked for what it may not see
      expect(loads).to.equal(0);
      client.refuse.resetHistory();
      const observing = observe();
      member.clear();
      await observing;
      refused(FORBIDDEN);
      expect([...observed]).to.deep.equal([]);
    });

    it("are the guards' to decide where there are some, whether or not the client is in the channel", async () => {
      isGuarded = true;
      await observe("other");
      expect(decide.args[0]?.slice(0, 2)).to.deep.equal([HEAD, "other"]);
      expect(client.answer.args[0]?.[1]).to.include('"count":2').and.not.to.include('"me"');
      expect(client.refuse.callCount).to.equal(0);
    });

    it("are refused beyond as many channels as a client may be in, those that wait for Redis included", async () => {
      for (const channel of ["a", "b", "c"]) member.add(channel);
      await Promise.all([observe("a"), observe("b"), observe("c")]);
      expect(client.refuse.args).to.deep.equal([[HEAD, TOO_MANY_CHANNELS]]);
      expect([...observed]).to.deep.equal(["a", "b"]);
    });

    it("count no more once Redis has failed, and are no more channels for one that is observed", async () => {
      for (const channel of ["a", "b", "c"]) member.add(channel);
      const error = new Error("down");
      load = () => Promise.reject(error);
      await Promise.all([observe("a"), observe("b")]);
      expect(client.refuse.args).to.deep.equal([
        [HEAD, UNAVAILABLE],
        [HEAD, UNAVAILABLE],
      ]);
      expect(reported.args[0]).to.deep.equal(["Redis has not done what a client asked for", error]);
      load = async () => PAGE;
      for (const channel of ["a", "b", "b"]) await observe(channel);
      expect(client.answer.callCount).to.equal(3);
      await observe("c");
      expect(client.refuse.lastCall.args).to.deep.equal([HEAD, TOO_MANY_CHANNELS]);
    });

    it("have nobody told of Redis's failure once the client has gone", async () => {
      load = async () => {
        client.closed = true;
        throw new Error("down");
      };
      await observe();
      expect([client.refuse.callCount, reported.callCount]).to.deep.equal([0, 0]);
    });

    it("are decided again where the client's rights have become others meanwhile", async () => {
      isGuarded = true;
      verdict = async () => ({ allowed: false, error: FORBIDDEN });
      await observe("other");
      await turn();
      expect([asked.length, observed.size]).to.deep.equal([0, 1]);
      load = async () => {
        client.rights++;
        return PAGE;
      };
      await observe("room");
      await turn();
      expect(observed.size).to.equal(0);
      expect(client.send.callCount).to.equal(2);
    });
  });

  it("for a further page are answered as long as the client observes", async () => {
    await handle({ kind: "page", after: 9 });
    refused(INVALID_REQUEST);
    observed.add("room");
    await handle({ kind: "page", after: 9 });
    expect(client.answer.args).to.deep.equal([
      [HEAD, '{"v":9,"count":2,"members":[{"key":"7"},{"key":"8"}],"next":"8"}'],
    ]);
  });

  it("to observe them no more are done at once", async () => {
    observed.add("room");
    await handle({ kind: "end" });
    expect([observed.size, client.acknowledge.args]).to.deep.equal([0, [[HEAD]]]);
  });

  describe("to set a state", () => {
    it("write it as JSON of at most so many bytes, as the schema gives it back", async () => {
      check = () => ({ status: "result", value: "é".repeat(4) });
      await setState(1);
      // 10 bytes with its quotes
      expect(set.args).to.deep.equal([["room", '"éééé"']]);
      expect(client.acknowledge.args).to.deep.equal([[HEAD]]);
    });

    it("are refused with a longer one", async () => {
      await setState("é".repeat(4).concat("e"));
      refused(STATE_TOO_LONG);
      expect(set.callCount).to.equal(0);
    });

    it("are refused where the client is not in the channel, also by then, or no member of it", async () => {
      write = async () => undefined;
      await setState(1);
      refused(FORBIDDEN);
      client.refuse.resetHistory();
      write = async () => ({ isMember: false });
      await setState(1);
      refused(TOO_MANY_MEMBERS);
      client.refuse.resetHistory();
      set.resetHistory();
      member.clear();
      await setState(1);
      refused(FORBIDDEN);
      expect(set.callCount).to.equal(0);
    });

    it("are refused with what the schema says, which is told", async () => {
      check = async () => ({ status: "error", error: "Too sad" });
      await setState(1);
      refused("Too sad");
      expect(reported.callCount).to.equal(0);
    });

    it("are refused where the schema fails, or makes what is no JSON, which is reported and not told", async () => {
      const error = new Error("secret");
      check = async () => ({ status: "failure", error });
      await setState(1);
      refused(INTERNAL_ERROR);
      expect(reported.args).to.deep.equal([['the schema of states in "room" failed', error]]);
      client.refuse.resetHistory();
      reported.resetHistory();
      check = () => ({ status: "result", value: 1n });
      await setState(1);
      refused(INTERNAL_ERROR);
      expect(reported.args[0]?.[0]).to.equal("the schema of a state has made what is no JSON");
      expect(set.callCount).to.equal(0);
    });

    it("are refused where Redis fails", async () => {
      write = () => Promise.reject(new Error("down"));
      await setState(1);
      refused(UNAVAILABLE);
      expect(reported.callCount).to.equal(1);
    });

    it("do nothing where the client has gone while the schema was asked", async () => {
      check = async (value) => {
        client.closed = true;
        return { status: "result", value };
      };
      await setState(1);
      check = async () => {
        client.closed = true;
        return { status: "error", error: "late" };
      };
      await setState(1);
      expect([set.callCount, client.refuse.callCount]).to.deep.equal([0, 0]);
    });
  });

  describe("that are reviewed", () => {
    beforeEach(() => {
      isGuarded = true;
      observed.add("room").add("other");
    });

    const review = async () => {
      requests.review();
      await turn();
    };

    it("stay where the guards allow them", async () => {
      await review();
      expect(asked).to.deep.equal([
        ["presence", client.socket, { channel: "room" }],
        ["presence", client.socket, { channel: "other" }],
      ]);
      expect([observed.size, client.send.callCount]).to.deep.equal([2, 0]);
    });

    it("end with what the guards say where they refuse", async () => {
      verdict = async () => ({ allowed: false, error: "Gone" });
      await review();
      expect(observed.size).to.equal(0);
      expect(client.send.args).to.deep.equal([
        ['{"presence":"room","end":true,"error":"Gone"}'],
        ['{"presence":"other","end":true,"error":"Gone"}'],
      ]);
    });

    it("are left alone where there is no guard, or the client has gone or ends them itself", async () => {
      verdict = async () => {
        observed.clear();
        return { allowed: false, error: "Gone" };
      };
      isGuarded = false;
      await review();
      expect(asked.length).to.equal(0);
      isGuarded = true;
      await review();
      expect([observed.size, client.send.callCount]).to.deep.equal([0, 0]);
      observed.add("room");
      verdict = async () => {
        client.closed = true;
        return { allowed: false, error: "Gone" };
      };
      await review();
      expect([observed.size, client.send.callCount]).to.deep.equal([1, 0]);
      asked = [];
      await review();
      expect(asked.length).to.equal(0);
    });

    it("are asked about no more where they end before their turn", async () => {
      for (let index = 0; index < 20; index++) observed.add(`c${index}`);
      verdict = async () => {
        await null;
        observed.clear();
        return { allowed: true };
      };
      await review();
      // as many as are asked about at once
      expect(asked.length).to.equal(16);
    });

    it("are forgotten when the client goes, with those that wait", async () => {
      for (let index = 0; index < 20; index++) observed.add(`c${index}`);
      requests.review();
      requests.close();
      await turn();
      expect(asked.length).to.equal(16);
      expect(forget.args).to.deep.equal([[client]]);
    });
  });

  it("are forgotten also where none was reviewed", () => {
    requests.close();
    expect(forget.callCount).to.equal(1);
  });
});
