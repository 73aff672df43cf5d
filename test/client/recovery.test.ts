import { expect } from "chai";
import type { TokenSocket } from "../../lib/client/index.js";
import { HistoryServer } from "./history-server.js";
import { deferred, failure, happened, inState, type Place, Stage } from "./support.js";

describe("A client of a server that keeps histories", () => {
  let stage: Stage;
  let server: HistoryServer;
  let place: Place;
  let client: TokenSocket;
  /** What the client's listeners have heard of channels, in order. */
  let heard: unknown[][];

  const listen = (events: ("message" | "recovered" | "lost" | "subscribed" | "unsubscribed")[]) => {
    for (const event of events) client.on(event, (...args: unknown[]) => heard.push([event, ...args]));
  };

  /** The messages that listeners have heard, and how they came. */
  const messages = () =>
    heard
      .filter(([event]) => event === "message")
      .map(([, , message, info]) => {
        const { recovered } = (info ?? {}) as { recovered?: boolean };
        return recovered ? `${message} recovered` : message;
      });

  const plain = () => messages().map((text) => `${text}`.split(" recovered")[0]);

  const others = () => heard.filter(([event]) => event !== "message");

  const echo = () => client.rpc("echo", 1);

  const lose = async () => {
    const waits = inState(client, "waiting");
    server.cut();
    await waits;
  };

  beforeEach(async () => {
    stage = new Stage();
    server = new HistoryServer();
    place = await stage.server(server.http);
    client = stage.client(place);
    heard = [];
    listen(["message", "recovered", "lost"]);
    await client.ready();
  });
  afterEach(async () => {
    await stage.clear();
    expect(stage.errors).to.deep.equal([]);
  });

  describe("after a reconnect", () => {
    it("gets what it has missed, once and in order, without the user's doing", async () => {
      await client.subscribe("room");
      server.publish("room", "a");
      await echo();
      await lose();
      for (const message of ["b", "c"]) server.publish("room", message);
      await happened(client, "reconnect");
      server.publish("room", "d");
      await echo();
      expect(messages()).to.deep.equal(["a", "b recovered", "c recovered", "d"]);
      expect(others()).to.deep.equal([["recovered", "room", { messages: 2 }]]);
      expect(server.requests("_subscribe")).to.deep.equal([
        { channel: "room", since: "" },
        { channel: "room", since: "e1.1.t1" },
      ]);
    });

    it("tells listeners the position and the time of each message", async () => {
      await client.subscribe("room");
      server.publish("room", "a");
      await echo();
      expect(heard).to.deep.equal([
        ["message", "room", "a", { at: "e1.1.t1", time: 1_767_225_601_000, recovered: false }],
      ]);
    });

    it("gets what came in a channel before which it had heard nothing", async () => {
      server.keep("room", "before");
      await client.subscribe("room");
      expect(client.position("room")).to.equal("e1.1.t1");
      await lose();
      server.publish("room", "a");
      await happened(client, "reconnect");
      expect(messages()).to.deep.equal(["a recovered"]);
    });

    it("says nothing where it has missed nothing", async () => {
      await client.subscribe("room");
      await lose();
      await happened(client, "reconnect");
      expect(heard).to.deep.equal([]);
    });

    it("goes on from the last message delivered, when it is cut in the middle of a recovery", async () => {
      await client.subscribe("room");
      await lose();
      const entries = ["a", "b", "c", "d"].map((message) => server.publish("room", message));
      let cuts = 0;
      server.intercept = (frame, socket) => {
        if (frame.rpc !== "_subscribe" || cuts === 2) return false;
        cuts++;
        server.join(frame, socket);
        const { entries: missed } = server.after(frame.req, "room");
        server.send(socket, server.frame("room", missed[0] as (typeof entries)[0]));
        socket.close();
        return true;
      };
      await happened(client, "reconnect");
      expect(messages()).to.deep.equal(["a recovered", "b recovered", "c recovered", "d recovered"]);
      expect(server.requests("_subscribe").map((req) => (req as { since: string }).since)).to.deep.equal([
        "",
        "e1.0.0",
        "e1.1.t1",
        "e1.2.t2",
      ]);
      expect(others()).to.deep.equal([["recovered", "room", { messages: 4 }]]);
    });

    it("gives a message that comes twice once", async () => {
      await client.subscribe("room");
      const a = server.publish("room", "a");
      server.sendAll(server.frame("room", a), server.frame("room", a));
      const b = server.publish("room", "b");
      server.sendAll(server.frame("room", a), server.frame("room", b));
      await echo();
      expect(messages()).to.deep.equal(["a", "b"]);
      expect(client.position("room")).to.equal("e1.2.t2");
    });

    it("gives a message that comes late once", async () => {
      await client.subscribe("room");
      const [a, b] = [server.keep("room", "a"), server.keep("room", "b")];
      server.sendAll(server.frame("room", b), server.frame("room", a), server.frame("room", a));
      await echo();
      await lose();
      await happened(client, "reconnect");
      expect(messages()).to.deep.equal(["b", "a"]);
    });

    it("asks again for what the server could not read, and misses nothing that came meanwhile", async () => {
      await client.subscribe("room");
      server.publish("room", "a");
      await echo();
      await lose();
      server.publish("room", "b");
      let failures = 0;
      server.intercept = (frame, socket) => {
        if (frame.rpc !== "_subscribe" || failures === 2) return false;
        failures++;
        server.join(frame, socket);
        const error = { message: "Service unavailable", code: "unavailable", retryAfter: 10 };
        server.send(socket, { rpc: frame.rpc, uuid: frame.uuid, error });
        server.publish("room", `live ${failures}`);
        return true;
      };
      await happened(client, "reconnect");
      expect(plain()).to.have.members(["a", "b", "live 1", "live 2"]);
      expect(client.position("room")).to.equal(server.newest("room"));
      const asked = { channel: "room", since: "e1.1.t1" };
      expect(server.requests("_subscribe").slice(1)).to.deep.equal([asked, asked, asked]);
    });

    it("gets new messages that have the numbers of lost ones, after a failover that has lost its newest", async () => {
      await client.subscribe("room");
      for (const message of ["a", "b", "c"]) server.publish("room", message);
      await echo();
      await lose();
      server.log("room").splice(1);
      server.keep("room", "new b");
      await happened(client, "reconnect");
      server.publish("room", "new c");
      await echo();
      expect(messages()).to.deep.equal(["a", "b", "c", "new b recovered", "new c"]);
      expect(others()).to.deep.equal([
        ["recovered", "room", { messages: 1 }],
        ["lost", "room", { messages: null, reason: "diverged" }],
      ]);
    });

    it("gets all that there is of a history that has begun anew, and says so", async () => {
      await client.subscribe("room");
      server.publish("room", "a");
      await echo();
      await lose();
      server.epoch = "e2";
      server.log("room").length = 0;
      server.keep("room", "b");
      await happened(client, "reconnect");
      expect(messages()).to.deep.equal(["a", "b recovered"]);
      expect(others()).to.deep.equal([
        ["recovered", "room", { messages: 1 }],
        ["lost", "room", { messages: null, reason: "reset" }],
      ]);
      expect(client.position("room")).to.equal("e2.1.t2");
    });

    it("says how many messages are lost, where the history does not reach back so far", async () => {
      await client.subscribe("room");
      await lose();
      for (const message of ["a", "b", "c"]) server.keep("room", message);
      server.log("room").splice(0, 2);
      await happened(client, "reconnect");
      expect(messages()).to.deep.equal(["c recovered"]);
      expect(others()).to.deep.equal([
        ["recovered", "room", { messages: 1 }],
        ["lost", "room", { messages: 2, reason: "trimmed" }],
      ]);
    });

    it("says that messages may be lost, where the next server keeps no histories", async () => {
      await client.subscribe("room");
      server.publish("room", "a");
      await echo();
      await lose();
      server.server = { protocol: 4 };
      await happened(client, "reconnect");
      expect(others()).to.deep.equal([["lost", "room", { messages: null, reason: "reset" }]]);
      expect(client.position("room")).to.equal(undefined);
      await lose();
      await happened(client, "reconnect");
      expect(others()).to.have.length(1);
      expect(server.requests("_subscribe").slice(1)).to.deep.equal([
        { channel: "room" },
        { channel: "room" },
      ]);
    });

    it("gets nothing of a channel that has no history, and says nothing", async () => {
      await client.subscribe("hall");
      await lose();
      await happened(client, "reconnect");
      await client.publish("hall", 1);
      await echo();
      expect(heard).to.deep.equal([["message", "hall", 1]]);
      expect(client.position("hall")).to.equal(undefined);
    });
  });

  describe("that subscribes", () => {
    const five = () => ["a", "b", "c", "d", "e"].map((message) => server.keep("room", message));

    it("gets what came after a position that it has kept", async () => {
      const entries = five();
      await client.subscribe("room", { since: entries[2]?.at });
      expect(messages()).to.deep.equal(["d recovered", "e recovered"]);
      expect(others()).to.deep.equal([["recovered", "room", { messages: 2 }]]);
      expect(client.position("room")).to.equal(entries[4]?.at);
    });

    it("gets the last messages", async () => {
      five();
      await client.subscribe("room", { last: 2 });
      expect(messages()).to.deep.equal(["d recovered", "e recovered"]);
      expect(server.requests("_subscribe")).to.deep.equal([{ channel: "room", last: 2 }]);
    });

    it("gets the last messages where it knows no position, and else what came after it", async () => {
      const entries = five();
      await client.subscribe("room", { since: null, last: 1 });
      await client.subscribe("room:2", { since: "e1.0.0", last: 1 });
      expect(messages()).to.deep.equal(["e recovered"]);
      expect(server.requests("_subscribe")).to.deep.equal([
        { channel: "room", last: 1 },
        { channel: "room:2", since: "e1.0.0" },
      ]);
      expect(client.position("room")).to.equal(entries[4]?.at);
    });

    it("gets what is older than what it has, where it is in the channel already, and nothing twice", async () => {
      five();
      await client.subscribe("room");
      server.publish("room", "f");
      await client.subscribe("room", { last: 3 });
      await client.subscribe("room");
      server.publish("room", "g");
      await echo();
      expect(messages()).to.deep.equal(["f", "d recovered", "e recovered", "g"]);
    });

    for (const [cut, options] of [
      ["since", { since: "e1.3.t3" }],
      ["last", { last: 2 }],
    ] as const) {
      for (const delivered of [0, 1]) {
        it(`by ${cut} gets all where it is cut after ${delivered} messages of them`, async () => {
          five();
          const isCut = deferred();
          server.intercept = (frame, socket) => {
            if (frame.rpc !== "_subscribe") return false;
            server.intercept = () => false;
            server.join(frame, socket);
            const { entries } = server.after(frame.req, "room");
            for (const entry of entries.slice(0, delivered)) server.send(socket, server.frame("room", entry));
            socket.close();
            isCut.resolve();
            return true;
          };
          const joined = client.subscribe("room", options);
          await isCut.promise;
          await joined;
          expect(messages()).to.deep.equal(["d recovered", "e recovered"]);
          // it does not begin once more
          if (delivered) {
            for (const req of server.requests("_subscribe").slice(1)) {
              expect(req)
                .to.have.property("since")
                .that.match(/^e1\.[45]\./);
            }
          }
          server.publish("room", "f");
          await echo();
          expect(messages().at(-1)).to.equal("f");
        });
      }
    }

    it("says that messages may be lost, where there is no history after a position that it has kept", async () => {
      await client.subscribe("hall", { since: "e1.3.t3" });
      expect(heard).to.deep.equal([["lost", "hall", { messages: null, reason: "reset" }]]);
      expect(client.position("hall")).to.equal(undefined);
    });

    it("rejects what cannot be a position or a number of messages, before anything is sent", async () => {
      const wrong: [name: string, value: unknown][] = [
        ["since", "nowhere"],
        ["since", "e1.x.t1"],
        ["since", "e1.1"],
        ["since", "e1.1.t1.2"],
        ["since", "e1.1.t1\n"],
        ["since", `e1.1.${"t".repeat(1000)}`],
        ["since", 7],
        ["since", { at: "e1.1.t1" }],
        ["last", 0],
        ["last", -1],
        ["last", 1.5],
        ["last", Infinity],
      ];
      for (const [name, value] of wrong) {
        const options = { [name]: value };
        const error = await failure(client.subscribe("room", options));
        expect(error, `${value}`).to.be.instanceOf(TypeError);
        expect(error.message).to.match(new RegExp(`^${name} must be: `));
        expect(() => client.channel("room", options)).to.throw(TypeError, name);
        const before = { [name.replace("since", "before")]: value };
        expect(await failure(client.history("room", before))).to.be.instanceOf(TypeError);
      }
      expect(() => client.channel("room", { onLost: "ignore" as "throw" })).to.throw(TypeError, "onLost");
      expect(server.frames.map(({ rpc }) => rpc)).to.deep.equal(["auth"]);
    });

    it("is told by the server what is wrong with a position", async () => {
      server.intercept = ({ rpc, uuid }, socket) => {
        if (rpc === "_subscribe") {
          server.send(socket, { rpc, uuid, error: { message: "Invalid request", code: "invalid" } });
        }
        return rpc === "_subscribe";
      };
      expect(await failure(client.subscribe("room", { since: "e1.1.t1" }))).to.have.property(
        "code",
        "invalid",
      );
      expect(client.channels()).to.deep.equal([]);
    });

    it("has a position as long as it is in the channel", async () => {
      expect(client.position("room")).to.equal(undefined);
      await client.subscribe("room");
      server.publish("room", "a");
      await echo();
      expect(client.position("room")).to.equal("e1.1.t1");
      await client.unsubscribe("room");
      expect(client.position("room")).to.equal(undefined);
      server.keep("room", "b");
      await client.subscribe("room");
      expect(messages()).to.deep.equal(["a"]);
    });
  });

  it("hears how many messages it has read too slowly to get, and goes on from there", async () => {
    await client.subscribe("room");
    for (let i = 0; i < 2; i++) server.keep("room", i);
    server.sendAll({ channel: "room", lost: { messages: 2, reason: "slow" }, at: server.newest("room") });
    await echo();
    expect(heard).to.deep.equal([["lost", "room", { messages: 2, reason: "slow" }]]);
    expect(client.position("room")).to.equal("e1.2.t2");
  });

  describe("on a channel that the server has joined it to", () => {
    const joinItself = () => {
      for (const socket of server.connections) server.joinItself("room:own", socket);
    };

    for (const isFirst of [true, false]) {
      it(`gets what it has missed, where the server ${isFirst ? "joins it first" : "answers first that it may not"}`, async () => {
        joinItself();
        server.publish("room:own", "a");
        await echo();
        expect(client.position("room:own")).to.equal("e1.1.t1");
        await lose();
        server.publish("room:own", "b");
        server.intercept = ({ rpc, uuid }, socket) => {
          const refuse = () =>
            server.send(socket, { rpc, uuid, error: { message: "Forbidden", code: "forbidden" } });
          if (rpc !== "_subscribe") return false;
          if (!isFirst) refuse();
          server.joinItself("room:own", socket);
          if (isFirst) refuse();
          return true;
        };
        await happened(client, "reconnect");
        server.publish("room:own", "c");
        await echo();
        expect(messages()).to.deep.equal(["a", "b recovered", "c"]);
        expect(others()).to.deep.equal([["recovered", "room:own", { messages: 1 }]]);
        expect(client.channels()).to.deep.equal(["room:own"]);
        expect(client.position("room:own")).to.equal(server.newest("room:own"));
        const auths = server.frames.filter(({ rpc }) => rpc === "auth");
        expect(auths.map(({ positions }) => positions)).to.deep.equal([undefined, { "room:own": "e1.1.t1" }]);
      });
    }

    it("hears of what is lost", async () => {
      joinItself();
      server.publish("room:own", "a");
      await echo();
      await lose();
      server.epoch = "e2";
      server.keep("room:own", "b");
      server.intercept = (frame, socket) => {
        if (frame.rpc === "_subscribe") server.joinItself("room:own", socket);
        return (
          frame.rpc === "_subscribe" &&
          server.answer({ ...frame, req: { channel: "secret" } }, socket) === undefined
        );
      };
      await happened(client, "reconnect");
      expect(others().at(-1)).to.deep.equal(["lost", "room:own", { messages: null, reason: "reset" }]);
    });

    it("gives the position from before, where the server could not read the history", async () => {
      joinItself();
      server.publish("room:own", "a");
      await echo();
      await lose();
      server.intercept = ({ rpc, uuid }, socket) => {
        if (rpc !== "_subscribe") return false;
        server.join({ req: { channel: "room:own" } }, socket);
        const error = { message: "Service unavailable", code: "unavailable" };
        server.send(socket, { channel: "room:own", recovered: 0, error });
        server.send(socket, { rpc, uuid, error: { message: "Forbidden", code: "forbidden" } });
        return true;
      };
      await happened(client, "reconnect");
      server.publish("room:own", "b");
      await echo();
      expect(client.position("room:own")).to.equal("e1.1.t1");
      await lose();
      expect(client.channels()).to.deep.equal(["room:own"]);
    });
  });

  describe("that publishes", () => {
    it("sends a message again whose connection was lost, which counts once", async () => {
      await client.subscribe("room");
      for (const isCarriedOut of [true, false]) {
        const cut = deferred();
        server.intercept = (frame, socket) => {
          if (frame.rpc !== "_publish") return false;
          server.intercept = () => false;
          if (isCarriedOut) server.answer({ ...frame, uuid: "nobody" }, socket);
          socket.close();
          cut.resolve();
          return true;
        };
        const published = client.publish("room", isCarriedOut);
        await cut.promise;
        await published;
      }
      await echo();
      expect(plain()).to.deep.equal(["true", "false"]);
      const sent = server.requests("_publish") as { id: string }[];
      expect(new Set(sent.map(({ id }) => id)).size).to.equal(2);
      expect(sent).to.have.length(4);
    });

    it("sends messages again in their order, before those that have waited", async () => {
      await client.subscribe("room");
      server.intercept = ({ rpc }) => rpc === "_publish";
      const first = [client.publish("room", 1), client.publish("room", 2)];
      await echo();
      await lose();
      server.intercept = () => false;
      await Promise.all([...first, client.publish("room", 3)]);
      expect(server.log("room").map(({ message }) => message)).to.deep.equal([1, 2, 3]);
    });

    it("rejects one whose connection was lost, where the channel is not known to have a history", async () => {
      await client.subscribe("hall");
      server.intercept = ({ rpc }) => rpc === "_publish" || rpc === "_broadcast";
      const lost = [failure(client.publish("hall", 1)), failure(client.broadcast(1))];
      await echo();
      await lose();
      for (const error of await Promise.all(lost)) {
        expect(error).to.include({ code: "disconnected", sent: true });
      }
      await happened(client, "reconnect");
      expect(server.requests("_publish")).to.have.length(1);
    });

    it("rejects one whose connection was lost, where it is not to wait", async () => {
      await client.subscribe("room");
      server.intercept = ({ rpc }) => rpc === "_publish";
      const lost = failure(client.publish("room", 1, { queue: false }));
      await echo();
      await lose();
      expect(await lost).to.include({ code: "disconnected", sent: true });
    });

    it("rejects one that it cannot send again, since the next server keeps no histories, as sent", async () => {
      await client.subscribe("room");
      server.intercept = ({ rpc }) => rpc === "_publish";
      const lost = failure(client.publish("room", 1));
      await echo();
      server.server = { protocol: 4 };
      await lose();
      expect(await lost).to.include({ code: "disconnected", sent: true });
      expect(server.requests("_publish")).to.have.length(1);
    });

    it("rejects one that waits to be sent again, when the client ends, as sent", async () => {
      await client.subscribe("room");
      server.intercept = ({ rpc }) => rpc === "_publish";
      const lost = failure(client.publish("room", 1));
      await echo();
      await lose();
      await client.end();
      expect(await lost).to.include({ code: "disconnected", sent: true });
    });

    it("gives one up that waits to be sent again, when it takes too long or is cancelled", async () => {
      await client.subscribe("room");
      server.intercept = ({ rpc }) => rpc === "_publish" || rpc === "_subscribe";
      const abort = new AbortController();
      const late = failure(client.publish("room", 1, { timeout: 50 }));
      const cancelled = failure(client.publish("room", 2, { signal: abort.signal }));
      await echo();
      await lose();
      abort.abort();
      expect(await cancelled).to.have.property("code", "aborted");
      // whether it was carried out is not known
      expect(await late).to.include({ code: "disconnected", sent: true });
      server.intercept = () => false;
      await lose();
      await happened(client, "reconnect");
      await echo();
      expect(server.requests("_publish")).to.have.length(2);
    });
  });
});
