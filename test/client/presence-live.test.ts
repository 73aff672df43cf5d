import { expect } from "chai";
import sinon from "sinon";
import { z } from "zod";
import {
  ForbiddenError,
  type Presence,
  type TokenSocket,
  type TokenSocketOptions,
} from "../../lib/client/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { Connection } from "../../lib/server/connection/connection.js";
import { deferred, failure, happened, inState, type Place, Stage } from "./support.js";

const state = z.object({ typing: z.boolean() });

describe("Presence, from end to end", () => {
  let stage: Stage;
  let place: Place;
  let gate: Promise<void>;
  let heard: string[];
  /** The guard of presence, where there is one. */
  let mayObserve: ((name: string) => boolean) | undefined;

  beforeEach(async () => {
    stage = new Stage();
    gate = Promise.resolve();
    heard = [];
    mayObserve = undefined;
    const redis = memoryRedis();
    place = await stage.application({
      redisClient: redis,
      pubsubClient: redis,
      options: {
        socketController: { echo: (_auth: unknown, data: unknown) => data },
        authentication: async (req) => {
          await gate;
          return { name: `${req.query.name}` };
        },
        identify: ({ name }) => `${name}`,
        presence: {
          "room:*": { info: ({ name }) => ({ name }), state, grace: 60_000 },
          "brief:*": { grace: 0 },
          "crowd:*": { events: "count" },
        },
      },
    });
    await place.tokenServer.ready();
  });
  afterEach(async () => {
    await stage.clear();
    expect(stage.errors).to.deep.equal([]);
  });

  const connect = (name: string, options: TokenSocketOptions = {}): TokenSocket =>
    stage.client(place, { authentication: { name }, ...options });
  const observe = async (client: TokenSocket, channel = "room:1", isHeard = false) => {
    const joined = client.subscribe(channel);
    const room = client.presence(channel);
    if (isHeard) {
      for (const event of ["join", "leave", "update"] as const)
        room.on(event, ({ id }) => heard.push(`${event} ${id}`));
      room.on("sync", () => heard.push("sync"));
    }
    await Promise.all([joined, room.ready()]);
    return room;
  };
  const idsOf = ({ members }: Presence) => members.map(({ id }) => id).sort();
  /** Waits until the list is as it should be. */
  const until = (room: Presence, isSo: (room: Presence) => boolean) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (!isSo(room)) return;
        room.off("change", look);
        resolve();
      };
      room.on("change", look);
      look();
    });
  const has = (room: Presence, ...ids: string[]) => until(room, () => idsOf(room).join() === ids.join());

  it("shows who is in the channel, each user once, and who comes and leaves", async () => {
    const room = await observe(connect("alice"), "room:1", true);
    expect(room).to.include({ me: "alice", count: 1 });
    expect(room.members[0]).to.deep.include({
      id: "alice",
      info: { name: "alice" },
      state: null,
      sockets: 1,
    });
    const bob = connect("bob");
    await observe(bob);
    await has(room, "alice", "bob");
    const tab = connect("bob");
    await tab.subscribe("room:1");
    await bob.unsubscribe("room:1");
    expect(idsOf(await observe(connect("carol")))).to.deep.equal(["alice", "bob", "carol"]);
    await tab.unsubscribe("room:1");
    await has(room, "alice", "carol");
    expect(heard).to.deep.equal(["sync", "join bob", "join carol", "leave bob"]);
  });

  it("shows states, which a schema checks", async () => {
    const alice = await observe(connect("alice"), "room:1", true);
    const bob = await observe(connect("bob"));
    await has(alice, "alice", "bob");
    const before = bob.set({ typing: true });
    await until(alice, ({ members }) =>
      members.some((member) => member.id === "bob" && member.state !== null),
    );
    await before;
    expect(alice.members.find(({ id }) => id === "bob")?.state).to.deep.equal({ typing: true });
    expect(heard).to.include("update bob");
    expect(await failure(bob.set({ typing: "yes" }))).to.have.property("code", "invalid");
  });

  it("hears of nothing where all come back within the grace, and keeps their states", async () => {
    const clients = ["alice", "bob"].map((name) => connect(name));
    const [room] = await Promise.all(clients.map((client, index) => observe(client, "room:1", !index)));
    if (!room) return;
    await has(room, "alice", "bob");
    await room.set({ typing: true });
    await until(room, ({ members }) => members.some(({ state: set }) => set !== null));
    heard.length = 0;
    const opened = deferred();
    gate = opened.promise;
    const waiting = clients.map((client) => inState(client, "waiting"));
    place.cut();
    await Promise.all(waiting);
    const back = clients.map((client) => happened(client, "reconnect"));
    opened.resolve();
    await Promise.all(back);
    await room.ready();
    await room.set({ typing: true });
    expect(heard.filter((event) => event !== "sync")).to.deep.equal([]);
    expect(room.members.find(({ id }) => id === "alice")?.state).to.deep.equal({ typing: true });
  });

  for (const isOwn of [true, false]) {
    it(`${isOwn ? "leaves at once" : "stays for the grace"} when it ends over ${isOwn ? "its own WebSocket" : "SockJS"}`, async () => {
      const room = await observe(connect("alice"), "room:1", true);
      const bob = connect("bob", isOwn ? {} : { WebSocket: false, sockjs: { transports: "websocket" } });
      await observe(bob);
      await has(room, "alice", "bob");
      heard.length = 0;
      await bob.end();
      if (isOwn) await has(room, "alice");
      // who has left, has done so before one who comes now
      await observe(connect("carol"));
      await until(room, () => idsOf(room).includes("carol"));
      expect(heard).to.deep.equal(isOwn ? ["leave bob", "join carol"] : ["join carol"]);
    });
  }

  it("stays when it has given its connection up to come back", async () => {
    const room = await observe(connect("alice"), "room:1", true);
    const bob = connect("bob", { ping: 20, pingTimeout: 20 });
    await observe(bob);
    await has(room, "alice", "bob");
    heard.length = 0;
    const lost = inState(bob, "waiting");
    const back = happened(bob, "reconnect");
    // it answers nothing for a while, though it is there
    const handle = sinon.stub(Connection.prototype, "receive");
    await lost;
    handle.restore();
    await back;
    await observe(connect("carol"));
    await until(room, () => idsOf(room).includes("carol"));
    expect(heard).to.deep.equal(["join carol"]);
  });

  it("hears of the real differences where it was away", async () => {
    const alice = connect("alice");
    const room = await observe(alice, "brief:1", true);
    const bob = connect("bob");
    await bob.subscribe("brief:1");
    await has(room, "alice", "bob");
    heard.length = 0;
    const opened = deferred();
    const waiting = inState(alice, "waiting");
    gate = opened.promise;
    place.cut();
    await waiting;
    await bob.end();
    const back = new Promise<void>((resolve) => room.once("sync", resolve));
    opened.resolve();
    await back;
    expect(heard).to.deep.equal(["leave bob", "sync"]);
    expect(idsOf(room)).to.deep.equal(["alice"]);
  });

  it("sends the newest state after a reconnect", async () => {
    const alice = connect("alice");
    const room = await observe(alice);
    const bob = await observe(connect("bob"));
    const waiting = inState(alice, "waiting");
    place.cut();
    await waiting;
    await Promise.all([room.set({ typing: true }), room.set({ typing: false })]);
    await until(bob, ({ members }) =>
      members.some((member) => member.id === "alice" && member.state !== null),
    );
    expect(bob.members.find(({ id }) => id === "alice")?.state).to.deep.equal({ typing: false });
  });

  it("tells numbers alone where the server does", async () => {
    const room = await observe(connect("alice"), "crowd:1", true);
    expect(room.members).to.deep.equal([]);
    await connect("bob").subscribe("crowd:1");
    await until(room, ({ count }) => count === 2);
    expect(heard).to.deep.equal(["sync"]);
  });

  it("is refused to who is not in the channel, and ends with who leaves it", async () => {
    const alice = connect("alice");
    expect(await failure(alice.presence("room:1").ready())).to.be.instanceOf(ForbiddenError);
    const room = await observe(alice);
    const ended = new Promise<Error>((resolve) => room.once("end", resolve));
    await alice.unsubscribe("room:1");
    expect(await ended).to.be.instanceOf(ForbiddenError);
    expect(await failure(alice.presence("hall").ready())).to.have.property("code", "no_presence");
  });

  it("is a matter of the guard, where there is one", async () => {
    mayObserve = (name) => name === "alice";
    place.tokenServer.on(
      "presence",
      (socket) => mayObserve?.((socket.auth as { name: string }).name) ?? false,
    );
    await connect("bob").subscribe("room:1");
    const alice = connect("alice");
    const room = alice.presence("room:1");
    await room.ready();
    expect(idsOf(room)).to.deep.equal(["bob"]);
    expect(room.me).to.equal(undefined);
    expect(await failure(connect("carol").presence("room:1").ready())).to.be.instanceOf(ForbiddenError);
    mayObserve = () => false;
    const ended = new Promise<Error>((resolve) => room.once("end", resolve));
    place.cut();
    expect(await ended).to.be.instanceOf(ForbiddenError);
  });

  it("has a long list, in pages, with those who come meanwhile", async () => {
    const names = Array.from(
      { length: 60 },
      (_, index) => `user ${`${index}`.padStart(2, "0")} ${"x".repeat(200)}`,
    );
    const clients = names.map((name) => connect(name));
    await Promise.all(clients.slice(0, 40).map((client) => client.subscribe("room:1")));
    const observer = connect("observer");
    const room = observe(observer);
    await Promise.all(clients.slice(40).map((client) => client.subscribe("room:1")));
    await has(await room, "observer", ...names);
    await Promise.all(clients.map((client) => client.unsubscribe("room:1")));
    await has(await room, "observer");
  });

  it("shows another user after a login", async () => {
    let name = "alice";
    const client = connect("", { authentication: () => ({ name }) });
    const room = await observe(client);
    expect(room.me).to.equal("alice");
    name = "bob";
    await client.reauthenticate();
    await room.ready();
    expect(room.me).to.equal("bob");
    await until(room, () => idsOf(room).includes("bob"));
  });
});
