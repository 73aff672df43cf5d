import { expect } from "chai";
import { stub } from "sinon";
import {
  AbortedError,
  DisconnectedError,
  ForbiddenError,
  type Presence,
  type TokenSocket,
  UnauthorizedError,
} from "../../lib/client/index.js";
import { until } from "../support/condition.js";
import { member, PresenceServer } from "./presence-server.js";
import { deferred, failure, happened, inState, type Place, Stage } from "./support.js";

const FORBIDDEN = { message: "Forbidden", code: "forbidden" };

describe("A client that observes the members of a channel", () => {
  let stage: Stage;
  let server: PresenceServer;
  let place: Place;
  let client: TokenSocket;
  /** What listeners have heard, in order. */
  let heard: string[];

  beforeEach(async () => {
    stage = new Stage();
    server = new PresenceServer();
    place = await stage.server(server.http);
    client = stage.client(place);
    heard = [];
    await client.ready();
  });
  afterEach(async () => {
    await stage.clear();
    expect(stage.errors).to.deep.equal([]);
  });

  const listen = (room: Presence, name = "") => {
    for (const event of ["join", "leave", "update"] as const)
      room.on(event, ({ id }) => heard.push(`${name}${event} ${id}`));
    room.on("sync", () => heard.push(`${name}sync`));
    room.on("end", ({ message }) => heard.push(`${name}end ${message}`));
    return room;
  };
  const observe = async (...ids: string[]) => {
    for (const id of ids) server.list.set(id, member(id));
    await client.subscribe("room");
    const room = listen(client.presence("room"));
    await room.ready();
    return room;
  };
  const ids = ({ members }: Presence) => members.map(({ id }) => id).join();
  const synced = (room: Presence) => new Promise<void>((resolve) => room.once("sync", resolve));
  const changed = (room: Presence) => new Promise<void>((resolve) => room.once("change", resolve));
  const asked = () => server.requests("_presence");
  const echo = () => client.rpc("echo", 1);
  const away = async (act: () => unknown, room: Presence) => {
    const waits = inState(client, "waiting");
    server.cut();
    await waits;
    const back = synced(room);
    act();
    await back;
  };

  it("gets the list, its number and the own id, and no event of those who are there", async () => {
    const room = client.presence("room");
    expect(room).to.include({ count: 0, isSynced: false });
    expect(room.me).to.equal(undefined);
    expect(room.members).to.deep.equal([]);
    room.end();
    const whole = await observe("7", "8");
    expect(whole.members).to.deep.equal([member("7"), member("8")]);
    expect(whole).to.include({ count: 2, isSynced: true, me: "7" });
    expect(heard).to.deep.equal(["sync"]);
  });

  it("hears who comes, leaves and changes, with the list of then", async () => {
    const room = await observe("7", "8");
    const lists: string[] = [];
    room.on("join", () => lists.push(ids(room)));
    const updates: unknown[] = [];
    room.on("update", ({ state }) => updates.push(state));
    server.change({
      join: [member("9")],
      leave: [{ id: "8" }],
      update: [member("7", { state: { typing: true } })],
    });
    await changed(room);
    expect(heard.slice(1).sort()).to.deep.equal(["join 9", "leave 8", "update 7"]);
    expect(lists).to.deep.equal(["7,9"]);
    expect(updates).to.deep.equal([{ typing: true }]);
    expect(room.count).to.equal(2);
  });

  it("keeps who has left and come back within one frame, with what is new of them", async () => {
    const room = await observe("7", "8", "9");
    server.change({
      join: [member("8", { since: 2 }), member("9", { state: { typing: true } })],
      leave: [{ id: "8" }, { id: "9" }],
    });
    await changed(room);
    expect(room.members.map(({ id, since }) => [id, since])).to.deep.include(["8", 2]);
    expect(ids(room)).to.equal("7,8,9");
    expect(heard.slice(1)).to.deep.equal(["update 9"]);
  });

  it("gives another array after each change, and the same one else", async () => {
    const room = await observe("7");
    const { members } = room;
    expect(room.members).to.equal(members);
    server.change({ join: [member("8")] });
    await changed(room);
    expect(room.members).not.to.equal(members);
    expect(members).to.have.length(1);
  });

  it("reads a long list in pages, and has what has changed meanwhile", async () => {
    server.page = 2;
    const gate = deferred();
    const ask = server.answer.bind(server);
    let pages = 0;
    server.intercept = (frame, socket) => {
      if (frame.rpc !== "_presence") return false;
      ask(frame, socket);
      // one that was read already leaves, another one comes, and one changes that is still to be read
      if (++pages === 1)
        server.change({
          join: [member("10")],
          leave: [{ id: "1" }],
          update: [member("5", { state: "new" })],
        });
      if (pages === 2) gate.resolve();
      return true;
    };
    const room = await observe("1", "2", "3", "4", "5");
    await gate.promise;
    expect(ids(room).split(",").sort()).to.deep.equal(["10", "2", "3", "4", "5"].sort());
    expect(room.members.find(({ id }) => id === "5")?.state).to.equal("new");
    expect(heard).to.deep.equal(["sync"]);
    expect(asked()).to.deep.include({ channel: "room", after: "2" });
  });

  it("takes a frame that is as old as the list for old", async () => {
    server.list.set("7", member("7"));
    const old = server.change({ join: [member("8")] }, false);
    const room = client.presence("room");
    listen(room);
    await room.ready();
    server.sendAll(old);
    server.sendAll({ ...old, leave: [{ id: "8" }], join: undefined });
    await echo();
    expect(ids(room)).to.equal("7,8");
    expect(heard).to.deep.equal(["sync"]);
    expect(asked()).to.have.length(1);
  });

  for (const [what, tell] of [
    ["misses a version", () => server.change({ join: [member("10")] })],
    ["is told to", () => server.sendAll({ presence: "room", v: 2, resync: true })],
  ] as const) {
    it(`asks again where it ${what}, and hears of what is different alone`, async () => {
      const room = await observe("7", "8");
      server.change({ join: [member("9")] }, false);
      server.change({ leave: [{ id: "8" }] }, false);
      server.change({ update: [member("7", { sockets: 2 })] }, false);
      const back = synced(room);
      tell();
      await changed(room);
      expect(room.isSynced).to.equal(false);
      await back;
      const isTold = what === "is told to";
      expect(heard.slice(1)).to.deep.equal(["join 9", ...(isTold ? [] : ["join 10"]), "leave 8", "sync"]);
      expect(room.members[0]).to.include({ id: "7", sockets: 2 });
    });
  }

  it("hears of nothing where it was away and nothing has changed, but for versions and sockets", async () => {
    const room = await observe("7", "8");
    await away(() => {
      server.version = 1;
      server.list.set("7", member("7", { sockets: 3 }));
    }, room);
    expect(heard).to.deep.equal(["sync", "sync"]);
    expect(room.members[0]?.sockets).to.equal(3);
    server.change({ join: [member("9")] });
    await changed(room);
    expect(heard.at(-1)).to.equal("join 9");
  });

  it("hears of the real differences after a reconnect, once its channels are joined again", async () => {
    const room = await observe("7", "8");
    await away(() => {
      expect(room).to.include({ isSynced: false, count: 2 });
      server.change(
        { join: [member("9")], leave: [{ id: "8" }], update: [member("7", { state: "x" })] },
        false,
      );
      server.frames.length = 0;
    }, room);
    expect(heard.slice(1)).to.deep.equal(["update 7", "join 9", "leave 8", "sync"]);
    const order = server.frames.map(({ rpc }) => rpc);
    expect(order).to.deep.equal(["auth", "_subscribe", "_presence"]);
  });

  it("says once that it has lost sight of them, and once that it is back", async () => {
    const room = await observe("7");
    const changes: boolean[] = [];
    room.on("change", () => changes.push(room.isSynced));
    await away(() => {}, room);
    await echo();
    expect(changes).to.deep.equal([false, true]);
  });

  it("asks again at a random time, so that not all clients do so at once", async () => {
    const room = await observe("7");
    const random = stub(Math, "random").returns(0.1);
    try {
      const again = synced(room);
      const begin = performance.now();
      server.change({ join: [member("8")] }, false);
      server.change({ join: [member("9")] });
      await again;
      // half a second on average
      expect(performance.now() - begin).to.be.at.least(100 - 2);
    } finally {
      random.restore();
    }
  });

  it("is another member after a reconnect as another user", async () => {
    const room = await observe("7");
    await away(() => {
      server.me = "8";
      server.change({ join: [member("8")], leave: [{ id: "7" }] }, false);
    }, room);
    expect(room.me).to.equal("8");
    expect(ids(room)).to.equal("8");
  });

  it("begins before it is connected, and before the channel's join is answered", async () => {
    const early = stage.client(place);
    server.list.set("7", member("7"));
    const joined = early.subscribe("room");
    const room = early.presence("room");
    await room.ready();
    await joined;
    expect(ids(room)).to.equal("7");
  });

  it("waits where it is not back in the channel yet", async () => {
    await client.end();
    client = stage.client(place, { connectTimeout: 500 });
    await client.ready();
    const room = await observe("7");
    let isRefused = false;
    let isJoined = false;
    server.intercept = ({ rpc, uuid }, socket) => {
      const refuse = (error: object) => {
        server.send(socket, { rpc, uuid, error });
        return true;
      };
      if (rpc === "_subscribe" && !isRefused) return refuse({ message: "", code: "busy", retryAfter: 10 });
      isJoined ||= rpc === "_subscribe";
      if (rpc !== "_presence" || isJoined) return false;
      isRefused = true;
      return refuse(FORBIDDEN);
    };
    await away(() => {}, room);
    expect(heard).to.deep.equal(["sync", "sync"]);
    expect(isRefused).to.equal(true);
  });

  for (const code of ["unavailable", "busy"]) {
    it(`asks again where the server is ${code}`, async () => {
      server.refusal = { message: "", code, retryAfter: 1 };
      const room = client.presence("room");
      await echo();
      server.refusal = undefined;
      await room.ready();
    });
  }

  it("is told that it may not, and hears no more", async () => {
    server.refusal = FORBIDDEN;
    const room = listen(client.presence("room"));
    // a rejection that nobody looks at
    void room.ready();
    expect(await failure(room.ready())).to.be.instanceOf(ForbiddenError);
    expect(await failure(room.set(1))).to.be.instanceOf(ForbiddenError);
    expect(room.error).to.be.instanceOf(ForbiddenError);
    server.refusal = undefined;
    server.change({ join: [member("9")] });
    await echo();
    expect(heard).to.deep.equal(["end Forbidden"]);
    // it may try once more
    await client.presence("room").ready();
  });

  for (const [when, end] of [
    [
      "after a reconnect",
      () => {
        server.refusal = FORBIDDEN;
        server.cut();
      },
    ],
    ["by the server's word", () => server.sendAll({ presence: "room", end: true, error: FORBIDDEN })],
  ] as const) {
    it(`is told that it may not any more, ${when}`, async () => {
      const room = await observe("7");
      const ended = new Promise<Error>((resolve) => room.once("end", resolve));
      end();
      expect(await ended).to.be.instanceOf(ForbiddenError);
      expect(room).to.include({ count: 0, isSynced: false });
      expect(room.members).to.deep.equal([]);
    });
  }

  it("is told so while the list is read, and hears no more", async () => {
    const gate = deferred();
    server.gate = gate.promise;
    const room = listen(client.presence("room"));
    await echo();
    server.sendAll({ presence: "room", end: true, error: FORBIDDEN });
    await echo();
    gate.resolve();
    await echo();
    expect(heard).to.deep.equal(["end Forbidden"]);
    expect(room).to.include({ count: 0, isSynced: false });
    expect(room.error).to.be.instanceOf(ForbiddenError);
  });

  it("forgets frames of the last connection", async () => {
    server.gate = new Promise(() => {});
    const room = listen(client.presence("room"));
    for (let i = 0; i < 9; i++) server.change({ join: [member("9")] });
    await echo();
    server.gate = undefined;
    server.version = 1;
    server.cut();
    await room.ready();
    expect(ids(room)).to.equal("9");
    expect(heard).to.deep.equal(["sync"]);
    expect(asked()).to.have.length(2);
  });

  it("gets numbers alone where the server tells no more", async () => {
    server.isCount = true;
    const room = await observe("7", "8");
    expect(room.members).to.deep.equal([]);
    expect(room.count).to.equal(2);
    server.sendAll({ presence: "room", v: ++server.version, count: 3 });
    await changed(room);
    expect(room.count).to.equal(3);
    expect(heard).to.deep.equal(["sync"]);
  });

  describe("by two handles", () => {
    it("asks once, and ends with the last", async () => {
      const first = await observe("7");
      const second = listen(client.presence("room"), "second ");
      await second.ready();
      expect(asked()).to.have.length(1);
      first.end();
      expect(await failure(first.ready())).to.be.instanceOf(AbortedError);
      expect(await failure(first.set(1))).to.be.instanceOf(AbortedError);
      expect(first.members).to.deep.equal([]);
      server.change({ join: [member("8")] });
      await changed(second);
      expect(heard).to.deep.equal(["sync", "second join 8"]);
      expect(asked()).to.have.length(1);
      second.end();
      second.end();
      await echo();
      expect(asked().slice(1)).to.deep.equal([{ channel: "room", end: true }]);
      server.change({ join: [member("9")] });
      await echo();
      expect(heard).to.have.length(2);
    });

    it("rejects those who wait for one that is ended", async () => {
      server.gate = new Promise(() => {});
      const [first, second] = [client.presence("room"), client.presence("room")];
      const ready = failure(first.ready());
      first.end();
      expect(await ready).to.be.instanceOf(AbortedError);
      expect(second.error).to.equal(undefined);
    });

    it("sets nothing by one that is ended, and what another one has set", async () => {
      const first = await observe("7");
      const second = client.presence("room");
      const waits = inState(client, "waiting");
      server.cut();
      await waits;
      const set = second.set("of the second");
      first.end();
      expect(await failure(first.set("of the first"))).to.be.instanceOf(AbortedError);
      await set;
      expect(server.states).to.deep.equal(["of the second"]);
    });

    it("asks for nothing more where a listener ends the last while a change is told", async () => {
      const random = stub(Math, "random").returns(0);
      try {
        const room = await observe("7");
        const joined = new Promise<void>((resolve) => room.once("join", () => resolve()));
        room.on("join", () => room.end());
        const gate = deferred();
        server.gate = gate.promise;
        const again = { presence: "room", resync: true };
        server.sendAll(again);
        await until(() => asked().length === 2);
        // what comes while the list is read is told after it
        server.change({ join: [member("8")] });
        server.list.delete("8");
        server.version--;
        server.sendAll(again);
        await echo();
        gate.resolve();
        await joined;
        // a timer of no time fires before this
        await new Promise((resolve) => setTimeout(resolve, 5));
        await echo();
        expect(heard).to.deep.equal(["sync", "join 8"]);
        expect(asked().slice(2)).to.deep.equal([{ channel: "room", end: true }]);
      } finally {
        random.restore();
      }
    });

    it("tells the server nothing where the last is ended without a connection", async () => {
      const room = await observe("7");
      const waits = inState(client, "waiting");
      server.cut();
      await waits;
      room.end();
      await happened(client, "reconnect");
      await echo();
      expect(asked()).to.deep.equal([{ channel: "room" }]);
    });

    it("begins anew after the last was ended", async () => {
      const first = await observe("7");
      first.end();
      const second = listen(client.presence("room"), "second ");
      await second.ready();
      expect(asked()).to.deep.equal([
        { channel: "room" },
        { channel: "room", end: true },
        { channel: "room" },
      ]);
    });

    it("does not disturb the others where a listener ends one or throws", async () => {
      const first = await observe("7");
      const second = listen(client.presence("room"), "second ");
      first.on("join", () => first.end());
      first.on("join", () => {
        throw new Error("of the application");
      });
      server.change({ join: [member("8"), member("9")] });
      await changed(second);
      expect(heard.filter((event) => event.startsWith("second"))).to.deep.equal([
        "second join 8",
        "second join 9",
      ]);
      expect(heard.filter((event) => event.startsWith("join"))).to.deep.equal(["join 8"]);
      expect(stage.errors.splice(0)).to.have.length(1);
    });
  });

  describe("that sets its state", () => {
    it("resolves when the server has it, and sends states in order", async () => {
      const room = await observe("7");
      await Promise.all([room.set({ typing: true }), room.set({ typing: false }), room.set(null)]);
      expect(server.states.at(-1)).to.equal(null);
      expect(asked()).to.deep.include({ channel: "room", state: null });
    });

    it("is told what is wrong with it", async () => {
      const room = await observe("7");
      expect(await failure(room.set(undefined))).to.be.instanceOf(TypeError);
      server.refusal = { message: "Invalid request", code: "invalid", data: { issues: [] } };
      expect(await failure(room.set(1))).to.include({ code: "invalid" });
      expect(room.isSynced).to.equal(true);
    });

    it("sends the newest where it was set before there was a list", async () => {
      const room = client.presence("room");
      await Promise.all([1, 2, 3].map((state) => room.set(state)));
      expect(server.states).to.deep.equal([3]);
    });

    it("sends the newest, of all handles, after a reconnect", async () => {
      const room = await observe("7");
      const other = client.presence("room");
      const waits = inState(client, "waiting");
      server.cut();
      await waits;
      const sets = Promise.all([other.set("old"), room.set("newer"), other.set("newest")]);
      await sets;
      expect(server.states).to.deep.equal(["newest"]);
    });

    it("sends one again that was lost with its connection", async () => {
      const room = await observe("7");
      server.intercept = ({ rpc, req }, socket) => {
        const isLost = rpc === "_presence" && "state" in req;
        if (isLost) socket.terminate();
        if (isLost) server.intercept = () => false;
        return isLost;
      };
      await room.set("x");
      expect(server.states).to.deep.equal(["x"]);
    });

    it("gives up what waits when it is ended", async () => {
      const room = client.presence("room");
      const set = failure(room.set(1));
      room.end();
      expect(await set).to.be.instanceOf(AbortedError);
    });
  });

  it("ends with the client, for good", async () => {
    const room = await observe("7");
    const waiting = client.presence("other");
    server.gate = new Promise(() => {});
    const ready = failure(waiting.ready());
    await client.end();
    expect(await ready).to.be.instanceOf(DisconnectedError);
    expect(room.error).to.be.instanceOf(DisconnectedError);
    expect(heard.at(-1)).to.match(/^end /);
    expect(await failure(client.presence("room").ready())).to.be.instanceOf(DisconnectedError);
  });

  it("ends with a client that the server has closed for good, and begins anew after a login", async () => {
    const room = await observe("7");
    const closed = inState(client, "closed");
    for (const socket of server.connections) socket.close(4403, "Forbidden");
    await closed;
    expect(room.error).to.be.instanceOf(UnauthorizedError);
    const refused = client.presence("room");
    expect(await failure(refused.ready())).to.be.instanceOf(UnauthorizedError);
    const again = client.reauthenticate();
    await client.presence("room").ready();
    await again;
  });

  it("ignores frames of channels that it does not observe, and of no form", async () => {
    const room = await observe("7");
    server.sendAll(
      { presence: "other", v: 2, count: 1, join: [member("8")] },
      { presence: "room", v: 2, count: 1, join: 7, leave: [null], update: "x" },
    );
    await changed(room);
    expect(ids(room)).to.equal("7");
    expect(heard).to.deep.equal(["sync"]);
  });

  it("follows what has come while the list was read, however much", async () => {
    server.page = 10_000;
    const gate = deferred();
    server.gate = gate.promise;
    const room = client.presence("room");
    const first = server.version;
    for (let i = 0; i < 1500; i++) server.change({ join: [member(`m${i}`)] });
    await echo();
    server.gate = undefined;
    const { version } = server;
    server.version = first;
    gate.resolve();
    await echo();
    server.version = version;
    await room.ready();
    expect(room.count).to.equal(1500);
    expect(asked()).to.have.length(1);
  });

  it("comes back with the client", async () => {
    const room = await observe("7");
    const back = happened(client, "reconnect");
    server.cut();
    await back;
    await room.ready();
    expect(room.isSynced).to.equal(true);
  });
});
