import { once } from "node:events";
import { expect } from "chai";
import sinon from "sinon";
import type { PresenceMember } from "../../lib/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { until } from "../support/condition.js";
import type { Frame, WireClient } from "../support/wire-client.js";

interface Member {
  readonly id: string;
  readonly info: unknown;
  readonly state: unknown;
  readonly sockets: number;
}

interface Page {
  readonly v: number;
  readonly count: number;
  readonly members?: readonly Member[];
  readonly me?: string;
  readonly next?: string;
}

type Options = NonNullable<ApplicationOptions["options"]>;

describe("Presence", () => {
  let application: Application;
  const notices: [event: string, channel: string, id: string][] = [];

  async function start(options: Options = {}) {
    application = await Application.start({
      options: {
        authentication: (req) => ({ name: `${req.query.name}` }),
        identify: ({ name }) => `${name}`,
        presence: { "room:*": { info: ({ name }) => ({ name }), grace: 60_000 } },
        ...options,
      },
    });
    await application.tokenServer.ready();
    notices.length = 0;
    for (const event of ["joined", "left", "updated"] as const) {
      application.tokenServer.on(event, (channel: string, { id }: PresenceMember) => {
        notices.push([event, channel, id]);
      });
    }
    return application.tokenServer;
  }

  afterEach(async () => {
    sinon.restore();
    await application.stop();
  });

  async function connect(name: string, auth: object = { protocol: 4 }): Promise<WireClient> {
    const token = await application.token(`?name=${name}`);
    const client = await application.open();
    await client.request({ rpc: "auth", token, ...auth });
    return client;
  }

  async function member(name: string, channel = "room:1"): Promise<WireClient> {
    const client = await connect(name);
    await client.subscribe(channel);
    // which waits until it is a member
    await application.tokenServer.presence(channel);
    return client;
  }

  const ask = (client: WireClient, req: object = {}, channel = "room:1") =>
    client.request({ rpc: "_presence", req: { channel, ...req } });

  async function observe(client: WireClient, channel = "room:1"): Promise<Page> {
    const { resp, error } = await ask(client, {}, channel);
    if (!resp) throw new Error(JSON.stringify(error));
    return resp as Page;
  }

  const change = (client: WireClient) => client.take((frame) => "presence" in frame);
  const idsOf = (members: unknown) => (members as Member[] | undefined)?.map(({ id }) => id);
  const read = async () => (await application.tokenServer.presence("room:1")).members;

  it("tells an observer who is there, who comes and who goes", async () => {
    await start();
    const ann = await member("ann");
    const page = await observe(ann);
    const [shown] = page.members ?? [];
    expect(page).to.deep.include({ count: 1, me: "ann" });
    expect(shown).to.deep.include({ id: "ann", info: { name: "ann" }, state: null, sockets: 1 });
    const bob = await member("bob");
    const joined = await change(ann);
    expect(joined).to.deep.include({ presence: "room:1", v: page.v + 1, count: 2 });
    expect(Object.keys(joined)).to.deep.equal(["presence", "v", "count", "join"]);
    expect(idsOf(joined.join)).to.deep.equal(["bob"]);
    await bob.request({ rpc: "_unsubscribe", req: { channel: "room:1" } });
    const left = await change(ann);
    expect(left).to.deep.equal({ presence: "room:1", v: page.v + 2, count: 1, leave: [{ id: "bob" }] });
    expect(notices).to.deep.equal([
      ["joined", "room:1", "ann"],
      ["joined", "room:1", "bob"],
      ["left", "room:1", "bob"],
    ]);
  });

  it("sends who does not ask nothing new, byte by byte", async () => {
    const talk = async (presence: Options["presence"]) => {
      await start({ presence });
      const told: string[] = [];
      for (const auth of [{}, { protocol: 4 }]) {
        const client = await connect("ann", auth);
        client.frames.length = 0;
        const other = await connect("bob", auth);
        for (const rpc of ["_subscribe", "_publish", "_unsubscribe"]) {
          client.send({ rpc, uuid: rpc, req: { channel: "room:1", data: 1 } });
          if (rpc === "_subscribe")
            await client
              .take((frame) => frame.command === "subscribe")
              .then((frame) => told.push(JSON.stringify(frame)));
          await other.subscribe("room:1");
        }
        client.send({ rpc: "no.function", uuid: "last" });
        const last = await client.take((frame) => frame.uuid === "last");
        told.push(...client.frames.splice(0).map((frame) => JSON.stringify(frame)), JSON.stringify(last));
      }
      if (presence) await application.stop();
      return told;
    };
    const withPresence = await talk({ "room:*": {} });
    expect(await talk(undefined)).to.deep.equal(withPresence);
  });

  for (const auth of [{}, { protocol: 3 }]) {
    it(`is a call like others to a client of version 3: ${JSON.stringify(auth)}`, async () => {
      await start();
      const client = await connect("ann", auth);
      await client.subscribe("room:1");
      expect((await ask(client)).error).to.equal("Function not found");
    });
  }

  it("is a call like others where no channel has it", async () => {
    await start({ presence: {} });
    const client = await connect("ann");
    expect((await ask(client)).error).to.deep.include({ code: "not_found" });
  });

  it("needs the option identify", async () => {
    await start();
    expect(() => new Application({ options: { presence: { a: {} } } })).to.throw(
      TypeError,
      "options.presence needs options.identify",
    );
  });

  it("takes two sockets of one identity for one member", async () => {
    await start();
    const [ann, first] = [await member("ann"), await member("bob")];
    expect(idsOf((await observe(ann)).members)).to.deep.equal(["ann", "bob"]);
    const second = await member("bob");
    await until(async () => (await read()).find(({ id }) => id === "bob")?.sockets === 2);
    for (const client of [first, second])
      await client.request({ rpc: "_unsubscribe", req: { channel: "room:1" } });
    const frame = await change(ann);
    expect(idsOf(frame.leave)).to.deep.equal(["bob"]);
    expect(ann.frames.filter((other) => "presence" in other)).to.deep.equal([]);
  });

  it("lets who has lost its line stay, and tells nobody that it is back", async () => {
    await start();
    const ann = await member("ann");
    const { v } = await observe(ann);
    for (let time = 0; time < 5; time++) {
      const bob = await member("bob");
      if (time === 0) await change(ann);
      await bob.end();
      await until(async () => (await read()).find(({ id }) => id === "bob")?.sockets === 0);
    }
    const page = await observe(ann);
    expect([page.v, idsOf(page.members)]).to.deep.equal([v + 1, ["ann", "bob"]]);
    expect(ann.frames.filter((frame) => "presence" in frame)).to.deep.equal([]);
    expect(notices.map(([event]) => event)).to.deep.equal(["joined", "joined"]);
  });

  it("lets who has lost its line leave when the grace is over", async () => {
    const server = await start({ presence: { "room:*": { grace: 20 } } });
    const ann = await member("ann");
    await observe(ann);
    const bob = await member("bob");
    await change(ann);
    const left = once(server, "left");
    await bob.end();
    const [, { id, sockets }] = await left;
    expect([id, sockets]).to.deep.equal(["bob", 0]);
    expect(idsOf((await change(ann)).leave)).to.deep.equal(["bob"]);
  });

  it("lets who is disconnected by the server leave at once", async () => {
    const server = await start();
    const ann = await member("ann");
    await observe(ann);
    await member("bob");
    await change(ann);
    await server.disconnect({ identity: "bob" });
    expect(idsOf((await change(ann)).leave)).to.deep.equal(["bob"]);
  });

  it("keeps to itself who observes a channel that it is not in", async () => {
    await start();
    const ann = await connect("ann");
    expect((await ask(ann)).error).to.deep.include({ code: "forbidden" });
    expect((await ask(ann, { state: 1 })).error).to.deep.include({ code: "forbidden" });
    expect((await ask(ann, { after: "1" })).error).to.deep.include({ code: "invalid" });
    expect((await ask(ann, { end: true })).resp).to.equal("success");
    expect((await ask(ann, {}, "hall")).error).to.deep.include({ code: "no_presence" });
    expect((await ask(ann, {}, "___sync___")).error).to.deep.include({ code: "forbidden" });
    for (const req of [{ state: 1, end: true }, { after: 1 }, { after: "x" }, { end: 1 }, { channel: 1 }]) {
      expect((await ask(ann, req)).error, JSON.stringify(req)).to.deep.include({ code: "invalid" });
    }
  });

  it("leaves to a guard who may observe, in the channel or not", async () => {
    const server = await start();
    server.on("presence", ({ auth }, { channel }) => auth.name === "ann" && channel === "room:1");
    const [ann, bob] = [await connect("ann"), await member("bob")];
    const page = await observe(ann);
    expect([idsOf(page.members), page.me]).to.deep.equal([["bob"], undefined]);
    expect((await ask(bob)).error).to.deep.include({ code: "forbidden" });
    await bob.request({ rpc: "_unsubscribe", req: { channel: "room:1" } });
    expect(idsOf((await change(ann)).leave)).to.deep.equal(["bob"]);
  });

  it("bounds how many channels a client observes that a guard lets observe all", async () => {
    const server = await start({ limits: { channelsPerSocket: 2 } });
    server.on("presence", () => true);
    const ann = await connect("ann");
    const answers = await Promise.all([1, 2, 3].map((number) => ask(ann, {}, `room:${number}`)));
    expect(answers.map(({ error }) => (error as { code: string } | undefined)?.code)).to.deep.equal([
      undefined,
      undefined,
      "too_many_channels",
    ]);
    await observe(ann, "room:2");
    await ask(ann, { end: true }, "room:2");
    await observe(ann, "room:3");
  });

  it("ends an observation with its right", async () => {
    const server = await start();
    let isAllowed = true;
    const ann = await member("ann");
    await observe(ann);
    await ann.request({ rpc: "_unsubscribe", req: { channel: "room:1" } });
    expect(await change(ann)).to.deep.include({ presence: "room:1", end: true });
    server.on("presence", () => isAllowed);
    await observe(ann);
    isAllowed = false;
    await server.refresh({ identity: "ann" });
    const end = await change(ann);
    expect(end).to.deep.equal({
      presence: "room:1",
      end: true,
      error: { code: "forbidden", message: "Forbidden" },
    });
    await member("bob");
    expect((await ask(ann, { after: "0" })).error).to.deep.include({ code: "invalid" });
    expect(ann.frames.filter((frame) => "presence" in frame)).to.deep.equal([]);
  });

  it("ends an observation where the client wants that", async () => {
    await start();
    const ann = await member("ann");
    await observe(ann);
    expect((await ask(ann, { end: true })).resp).to.equal("success");
    await member("bob");
    const page = await observe(ann);
    expect(page.count).to.equal(2);
    expect(ann.frames.filter((frame) => "presence" in frame)).to.deep.equal([]);
  });

  it("tells an observer of states, as the schema makes them", async () => {
    const state = {
      "~standard": {
        version: 1 as const,
        vendor: "test",
        validate: (value: unknown) =>
          value === "bad" ? { issues: [{ message: "No" }] } : { value: { was: value } },
      },
    };
    await start({ presence: { "room:*": { state } } });
    const [ann, bob] = [await member("ann"), await member("bob")];
    await observe(ann);
    expect((await ask(bob, { state: "typing" })).resp).to.equal("success");
    const frame = await change(ann);
    expect((frame.update as Member[]).map((one) => [one.id, one.state])).to.deep.equal([
      ["bob", { was: "typing" }],
    ]);
    expect((await ask(bob, { state: "bad" })).error).to.deep.include({ code: "invalid" });
    expect((await ask(bob, { state: "x".repeat(2000) })).error).to.deep.include({ code: "state_too_long" });
    expect(notices.at(-1)).to.deep.equal(["updated", "room:1", "bob"]);
    // the same again is no update
    expect((await ask(bob, { state: "typing" })).resp).to.equal("success");
    const [, second] = (await observe(ann)).members ?? [];
    expect(second?.state).to.deep.equal({ was: "typing" });
    expect(notices.filter(([event]) => event === "updated")).to.have.length(1);
  });

  it("sends the newest of several states that are set at once", async () => {
    await start();
    const [ann, bob] = [await member("ann"), await member("bob")];
    await observe(ann);
    const replies = await Promise.all([1, 2, 3].map((state) => ask(bob, { state })));
    expect(replies.map(({ resp }) => resp)).to.deep.equal(["success", "success", "success"]);
    let last: unknown;
    while (last !== 3) last = ((await change(ann)).update as Member[]).at(-1)?.state;
  });

  it("gives a long list in pages, beside which nothing is missed", async () => {
    await start({
      presence: { "room:*": { info: ({ name }) => ({ name, text: "x".repeat(900) }) } },
      limits: { bufferedBytes: 40_000 },
    });
    const clients = await Promise.all(Array.from({ length: 30 }, (_, i) => member(`user${i}`)));
    const observer = await member("observer");
    const first = await observe(observer);
    expect(first.count).to.equal(31);
    const seen = new Map<string, Member>();
    let page = first;
    let pages = 1;
    for (;;) {
      for (const one of page.members ?? []) seen.set(one.id, one);
      if (page.next === undefined) break;
      if (pages === 1) await clients[29]?.request({ rpc: "_unsubscribe", req: { channel: "room:1" } });
      page = (await ask(observer, { after: page.next })).resp as Page;
      expect(page.me).to.equal(undefined);
      pages++;
    }
    expect(pages).to.be.greaterThan(2);
    expect(idsOf((await change(observer)).leave)).to.deep.equal(["user29"]);
    seen.delete("user29");
    expect([...seen.keys()].sort()).to.deep.equal((await read()).map(({ id }) => id).sort());
  });

  it("asks an observer to read again what is too much for one frame", async () => {
    await start({
      presence: { "room:*": { info: () => ({ text: "x".repeat(900) }) } },
      limits: { bufferedBytes: 40_000 },
    });
    const ann = await member("ann");
    const { v } = await observe(ann);
    const clients = await Promise.all(Array.from({ length: 30 }, (_, i) => connect(`user${i}`)));
    for (const client of clients) client.send({ rpc: "_subscribe", req: { channel: "room:1" } });
    let frame: Frame = {};
    let seen = v;
    while (frame.resync === undefined && seen < v + 40) {
      frame = await change(ann);
      expect(frame.v).to.equal(++seen);
      if (((frame.count as number) ?? 0) > 30) break;
    }
    expect(frame.resync === true || frame.count === 31).to.equal(true);
  });

  it("tells numbers alone where that is wanted", async () => {
    await start({ presence: { "room:*": { events: "count" } } });
    const ann = await member("ann");
    const page = await observe(ann);
    expect(page).to.deep.equal({ v: page.v, count: 1, me: "ann" });
    const bob = await member("bob");
    expect(await change(ann)).to.deep.equal({ presence: "room:1", v: page.v + 1, count: 2 });
    await ask(bob, { state: 1 });
    await bob.request({ rpc: "_unsubscribe", req: { channel: "room:1" } });
    expect(await change(ann)).to.deep.equal({ presence: "room:1", v: page.v + 2, count: 1 });
    expect(notices.map(([event]) => event)).to.deep.equal(["joined", "joined", "updated", "left"]);
  });

  it("has no more members than the limit, and takes the next when one leaves", async () => {
    await start({ presence: { "room:*": { limit: 2 } } });
    const [ann, bob, eve] = [await member("ann"), await member("bob"), await member("eve")];
    const page = await observe(eve);
    expect([page.count, page.me, idsOf(page.members)]).to.deep.equal([2, "eve", ["ann", "bob"]]);
    expect((await ask(eve, { state: 1 })).error).to.deep.include({ code: "too_many_members" });
    expect(application.errors.map(({ message }) => message)).to.deep.equal([
      'The channel "room:1" has as many members as its presence may have (limit)',
    ]);
    await bob.request({ rpc: "_unsubscribe", req: { channel: "room:1" } });
    const told: unknown[] = [];
    while (told.length < 2) {
      const { join, leave } = await change(eve);
      told.push(...(idsOf(leave) ?? []), ...(idsOf(join) ?? []));
    }
    expect(told).to.deep.equal(["bob", "eve"]);
    expect((await read()).map(({ id }) => id)).to.deep.equal(["ann", "eve"]);
    void ann;
  });

  it("keeps an identity out that Redis could not have, beside which nobody else's could be written", async () => {
    await start({ identify: ({ name }) => (name === "bob" ? "\ud800" : `${name}`) });
    const bob = await application.open();
    const token = await application.token("?name=bob");
    const answer = await bob.request({ rpc: "auth", token, protocol: 4 }).catch(String);
    expect(answer).to.include("closed (4503)");
    await member("ann");
    expect(notices).to.deep.equal([["joined", "room:1", "ann"]]);
  });

  it("shows a new info when the identity is renewed", async () => {
    let title = "Ms";
    await start({ presence: { "room:*": { info: ({ name }) => ({ name, title }) } } });
    const [ann, bob] = [await member("ann"), await member("bob")];
    await observe(ann);
    title = "Dr";
    const token = await application.token("?name=bob");
    await bob.request({ rpc: "auth", token, protocol: 4 });
    const frame = await change(ann);
    expect((frame.update as Member[]).map((one) => one.info)).to.deep.equal([{ name: "bob", title: "Dr" }]);
  });

  for (const [why, info] of [
    [
      "throws",
      () => {
        throw new Error("Broken");
      },
    ],
    ["gives no object", () => "text" as unknown as object],
    ["gives a promise", async () => ({})],
    ["gives too much", () => ({ text: "x".repeat(1024) })],
  ] as const) {
    it(`shows nothing of a member where info ${why}, and reports that`, async () => {
      await start({ presence: { "room:*": { info } } });
      const ann = await member("ann");
      const [shown] = (await observe(ann)).members ?? [];
      expect(shown).to.deep.include({ id: "ann", info: null });
      await until(() => application.errors.length === 1);
    });
  }

  it("is read by the server, with what has just changed", async () => {
    const server = await start();
    const ann = await member("ann");
    await ask(ann, { state: { typing: true } });
    const { count, members } = await server.presence("room:1");
    expect(count).to.equal(1);
    expect(members[0]).to.deep.include({
      id: "ann",
      info: { name: "ann" },
      state: { typing: true },
      sockets: 1,
    });
    expect(members[0]?.since).to.be.closeTo(Date.now(), 60_000);
    expect(await server.presence("room:2")).to.deep.equal({ count: 0, members: [] });
    const rejected = async (channel: string) =>
      server.presence(channel).then(
        () => "",
        (error: Error) => `${error.name}: ${error.message}`,
      );
    expect(await rejected("hall")).to.include('The channel "hall" has no presence');
    expect(await rejected("___all___")).to.include("TypeError");
  });

  it("goes on over two servers of one store", async () => {
    const store = memoryRedis();
    await start();
    await application.stop();
    const options: Options = {
      authentication: (req) => ({ name: `${req.query.name}` }),
      identify: ({ name }) => `${name}`,
      presence: { "room:*": { grace: 60_000 } },
    };
    const other = await Application.start({ redisClient: store, pubsubClient: store, options });
    application = await Application.start({ redisClient: store, pubsubClient: store, options });
    const ann = await member("ann");
    await observe(ann);
    const token = await other.token("?name=bob");
    const bob = await other.open();
    await bob.request({ rpc: "auth", token, protocol: 4 });
    await bob.subscribe("room:1");
    expect(idsOf((await change(ann)).join)).to.deep.equal(["bob"]);
    // the other one ends, and its client is back here
    await other.stop();
    await member("bob");
    await until(async () => (await read()).find(({ id }) => id === "bob")?.sockets === 1);
    expect(ann.frames.filter((frame) => "presence" in frame)).to.deep.equal([]);
  });
});
