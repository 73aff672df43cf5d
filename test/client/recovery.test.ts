import { expect } from "chai";
import { stub } from "sinon";
import type { WebSocket } from "ws";
import { until } from "../support/condition.js";
import { HistoryScene } from "./history-scene.js";
import { deferred, failure, happened } from "./support.js";

describe("A client of a server that keeps histories", () => {
  const scene = HistoryScene.forEachTest();

  /** Has the server fail once to read what a client asks for that it lets into a channel; `then` is what it does next. */
  const failOnce = (then: (socket: WebSocket) => void) => {
    scene.server.intercept = (frame, socket) => {
      if (frame.rpc !== "_subscribe") return false;
      scene.server.intercept = () => false;
      scene.server.join(frame, socket);
      const error = { message: "Service unavailable", code: "unavailable", retryAfter: 10 };
      scene.server.send(socket, { rpc: frame.rpc, uuid: frame.uuid, error });
      then(socket);
      return true;
    };
  };

  /** Has the client get one message, and miss the next one. */
  const missOne = async () => {
    await scene.client.subscribe("room");
    scene.server.publish("room", "a");
    await scene.echo();
    await scene.lose();
    scene.server.keep("room", "b");
  };

  describe("after a reconnect", () => {
    it("gets what it has missed, once and in order, without the user's doing", async () => {
      await scene.client.subscribe("room");
      scene.server.publish("room", "a");
      await scene.echo();
      await scene.lose();
      for (const message of ["b", "c"]) scene.server.publish("room", message);
      await happened(scene.client, "reconnect");
      scene.server.publish("room", "d");
      await scene.echo();
      expect(scene.messages()).to.deep.equal(["a", "b recovered", "c recovered", "d"]);
      expect(scene.others()).to.deep.equal([["recovered", "room", { messages: 2 }]]);
      expect(scene.server.requests("_subscribe")).to.deep.equal([
        { channel: "room", since: "" },
        { channel: "room", since: "e1.1.t1" },
      ]);
    });

    it("tells listeners the position and the time of each message", async () => {
      await scene.client.subscribe("room");
      scene.server.publish("room", "a");
      await scene.echo();
      expect(scene.heard).to.deep.equal([
        ["message", "room", "a", { at: "e1.1.t1", time: 1_767_225_601_000, recovered: false }],
      ]);
    });

    it("gets what came in a channel before which it had heard nothing", async () => {
      scene.server.keep("room", "before");
      await scene.client.subscribe("room");
      expect(scene.client.position("room")).to.equal("e1.1.t1");
      await scene.lose();
      scene.server.publish("room", "a");
      await happened(scene.client, "reconnect");
      expect(scene.messages()).to.deep.equal(["a recovered"]);
    });

    it("says nothing where it has missed nothing", async () => {
      await scene.client.subscribe("room");
      await scene.lose();
      await happened(scene.client, "reconnect");
      expect(scene.heard).to.deep.equal([]);
    });

    it("goes on from the last message delivered, when it is cut in the middle of a recovery", async () => {
      await scene.client.subscribe("room");
      await scene.lose();
      const entries = ["a", "b", "c", "d"].map((message) => scene.server.publish("room", message));
      let cuts = 0;
      scene.server.intercept = (frame, socket) => {
        if (frame.rpc !== "_subscribe" || cuts === 2) return false;
        cuts++;
        scene.server.join(frame, socket);
        const { entries: missed } = scene.server.after(frame.req, "room");
        scene.server.send(socket, scene.server.frame("room", missed[0] as (typeof entries)[0]));
        socket.close();
        return true;
      };
      await happened(scene.client, "reconnect");
      expect(scene.messages()).to.deep.equal(["a recovered", "b recovered", "c recovered", "d recovered"]);
      expect(
        scene.server.requests("_subscribe").map((req) => (req as { since: string }).since),
      ).to.deep.equal(["", "e1.0.0", "e1.1.t1", "e1.2.t2"]);
      expect(scene.others()).to.deep.equal([["recovered", "room", { messages: 4 }]]);
    });

    it("gives a message that comes twice once", async () => {
      await scene.client.subscribe("room");
      const a = scene.server.publish("room", "a");
      scene.server.sendAll(scene.server.frame("room", a), scene.server.frame("room", a));
      const b = scene.server.publish("room", "b");
      scene.server.sendAll(scene.server.frame("room", a), scene.server.frame("room", b));
      await scene.echo();
      expect(scene.messages()).to.deep.equal(["a", "b"]);
      expect(scene.client.position("room")).to.equal("e1.2.t2");
    });

    it("gives a message that comes late once", async () => {
      await scene.client.subscribe("room");
      const [a, b] = [scene.server.keep("room", "a"), scene.server.keep("room", "b")];
      scene.server.sendAll(
        scene.server.frame("room", b),
        scene.server.frame("room", a),
        scene.server.frame("room", a),
      );
      await scene.echo();
      await scene.lose();
      await happened(scene.client, "reconnect");
      expect(scene.messages()).to.deep.equal(["b", "a"]);
    });

    it("asks again for what the server could not read, and misses nothing that came meanwhile", async () => {
      await scene.client.subscribe("room");
      scene.server.publish("room", "a");
      await scene.echo();
      await scene.lose();
      scene.server.publish("room", "b");
      let failures = 0;
      scene.server.intercept = (frame, socket) => {
        if (frame.rpc !== "_subscribe" || failures === 2) return false;
        failures++;
        scene.server.join(frame, socket);
        const error = { message: "Service unavailable", code: "unavailable", retryAfter: 10 };
        scene.server.send(socket, { rpc: frame.rpc, uuid: frame.uuid, error });
        scene.server.publish("room", `live ${failures}`);
        return true;
      };
      await happened(scene.client, "reconnect");
      expect(scene.plain()).to.have.members(["a", "b", "live 1", "live 2"]);
      expect(scene.client.position("room")).to.equal(scene.server.newest("room"));
      const asked = { channel: "room", since: "e1.1.t1" };
      expect(scene.server.requests("_subscribe").slice(1)).to.deep.equal([asked, asked, asked]);
    });

    for (const [retryAfter, chance, least] of [
      [40, 0.5, 60],
      [undefined, 0, 1000],
    ] as const) {
      const time = retryAfter ? "as long as the server asks it to, or longer" : "for a second at least";
      it(`waits ${time}, before it asks once more for a channel`, async () => {
        await scene.client.subscribe("room");
        await scene.lose();
        const random = stub(Math, "random").returns(chance);
        const asked: number[] = [];
        scene.server.intercept = ({ rpc, uuid }, socket) => {
          if (rpc !== "_subscribe" || asked.push(performance.now()) > 1) return false;
          scene.server.send(socket, { rpc, uuid, error: { message: "Busy", code: "busy", retryAfter } });
          return true;
        };
        try {
          await happened(scene.client, "reconnect");
        } finally {
          random.restore();
        }
        expect(asked).to.have.length(2);
        const [first = 0, second = 0] = asked;
        expect(second - first).to.be.at.least(least - 2);
      });
    }

    it("waits for its other channels where the server takes one back and refuses it", async () => {
      for (const channel of ["room", "hall"]) await scene.client.subscribe(channel);
      await scene.lose();
      let state: string | undefined;
      scene.server.intercept = (frame, socket) => {
        const { rpc, uuid, req } = frame;
        if (rpc !== "_subscribe") return false;
        if (req.channel === "room") {
          scene.server.send(socket, { internal: true, command: "unsubscribe", data: req });
          scene.server.send(socket, { rpc, uuid, error: { message: "Forbidden", code: "forbidden" } });
        } else {
          // when it has heard of the other one
          socket.ping();
          socket.once("pong", () => {
            state = scene.client.state;
            scene.server.answer(frame, socket);
          });
        }
        return true;
      };
      await happened(scene.client, "reconnect");
      expect(state).to.equal("connecting");
      expect(scene.client.channels()).to.deep.equal(["hall"]);
    });

    it("gets new messages that have the numbers of lost ones, after a failover that has lost its newest", async () => {
      await scene.client.subscribe("room");
      for (const message of ["a", "b", "c"]) scene.server.publish("room", message);
      await scene.echo();
      await scene.lose();
      scene.server.log("room").splice(1);
      scene.server.keep("room", "new b");
      await happened(scene.client, "reconnect");
      scene.server.publish("room", "new c");
      await scene.echo();
      expect(scene.messages()).to.deep.equal(["a", "b", "c", "new b recovered", "new c"]);
      expect(scene.others()).to.deep.equal([
        ["lost", "room", { messages: null, reason: "diverged" }],
        ["recovered", "room", { messages: 1 }],
      ]);
    });

    it("gets all that there is of a history that has begun anew, and says so", async () => {
      await scene.client.subscribe("room");
      scene.server.publish("room", "a");
      await scene.echo();
      await scene.lose();
      scene.server.epoch = "e2";
      scene.server.log("room").length = 0;
      scene.server.keep("room", "b");
      await happened(scene.client, "reconnect");
      expect(scene.messages()).to.deep.equal(["a", "b recovered"]);
      expect(scene.others()).to.deep.equal([
        ["lost", "room", { messages: null, reason: "reset" }],
        ["recovered", "room", { messages: 1 }],
      ]);
      expect(scene.client.position("room")).to.equal("e2.1.t2");
    });

    it("says how many messages are lost, where the history does not reach back so far", async () => {
      await scene.client.subscribe("room");
      await scene.lose();
      for (const message of ["a", "b", "c"]) scene.server.keep("room", message);
      scene.server.log("room").splice(0, 2);
      await happened(scene.client, "reconnect");
      expect(scene.messages()).to.deep.equal(["c recovered"]);
      expect(scene.others()).to.deep.equal([
        ["lost", "room", { messages: 2, reason: "trimmed" }],
        ["recovered", "room", { messages: 1 }],
      ]);
    });

    for (const hasFailed of [false, true]) {
      const when = hasFailed ? ", after an attempt that has failed" : "";
      it(`says once how many messages are lost, where the line is cut behind them${when}`, async () => {
        await scene.client.subscribe("room");
        await scene.lose();
        for (const message of ["a", "b", "c", "d"]) scene.server.keep("room", message);
        const [c] = scene.server.log("room").splice(0, 2) && scene.server.log("room");
        const cutBehindLoss = () => {
          scene.server.intercept = (frame, socket) => {
            if (frame.rpc !== "_subscribe") return false;
            scene.server.intercept = () => false;
            scene.server.join(frame, socket);
            const loss = { channel: "room", lost: { messages: 2, reason: "trimmed" }, at: "e1.2.t2" };
            scene.server.send(socket, loss, { channel: "room", ...c });
            socket.close();
            return true;
          };
        };
        if (hasFailed) failOnce(cutBehindLoss);
        else cutBehindLoss();
        await happened(scene.client, "reconnect");
        expect(scene.messages()).to.deep.equal(["c recovered", "d recovered"]);
        expect(scene.others()).to.deep.equal([
          ["lost", "room", { messages: 2, reason: "trimmed" }],
          ["recovered", "room", { messages: 2 }],
        ]);
      });
    }

    it("does not pass over what could not be recovered where more is lost behind that", async () => {
      await missOne();
      failOnce((socket) => {
        const { at } = scene.server.keep("room", "c");
        scene.server.send(socket, { channel: "room", lost: { messages: 1, reason: "slow" }, at });
      });
      await happened(scene.client, "reconnect");
      const asked = { channel: "room", since: "e1.1.t1" };
      expect(scene.server.requests("_subscribe").slice(1)).to.deep.equal([asked, asked]);
      expect(scene.plain()).to.deep.equal(["a", "b", "c"]);
    });

    it("says that messages may be lost, where the next server keeps no histories", async () => {
      await scene.client.subscribe("room");
      scene.server.publish("room", "a");
      await scene.echo();
      await scene.lose();
      scene.server.server = { protocol: 4 };
      await happened(scene.client, "reconnect");
      expect(scene.others()).to.deep.equal([["lost", "room", { messages: null, reason: "reset" }]]);
      expect(scene.client.position("room")).to.equal(undefined);
      await scene.lose();
      await happened(scene.client, "reconnect");
      expect(scene.others()).to.have.length(1);
      expect(scene.server.requests("_subscribe").slice(1)).to.deep.equal([
        { channel: "room" },
        { channel: "room" },
      ]);
    });

    it("gets nothing of a channel that has no history, and says nothing", async () => {
      await scene.client.subscribe("hall");
      await scene.lose();
      await happened(scene.client, "reconnect");
      await scene.client.publish("hall", 1);
      await scene.echo();
      expect(scene.heard).to.deep.equal([["message", "hall", 1]]);
      expect(scene.client.position("hall")).to.equal(undefined);
    });
  });

  describe("that subscribes", () => {
    const five = () => ["a", "b", "c", "d", "e"].map((message) => scene.server.keep("room", message));

    it("gets what came after a position that it has kept", async () => {
      const entries = five();
      await scene.client.subscribe("room", { since: entries[2]?.at });
      expect(scene.messages()).to.deep.equal(["d recovered", "e recovered"]);
      expect(scene.others()).to.deep.equal([["recovered", "room", { messages: 2 }]]);
      expect(scene.client.position("room")).to.equal(entries[4]?.at);
    });

    it("gets the last messages", async () => {
      five();
      await scene.client.subscribe("room", { last: 2 });
      expect(scene.messages()).to.deep.equal(["d recovered", "e recovered"]);
      expect(scene.server.requests("_subscribe")).to.deep.equal([{ channel: "room", last: 2 }]);
    });

    it("gets the last messages where it knows no position, and else what came after it", async () => {
      const entries = five();
      await scene.client.subscribe("room", { since: null, last: 1 });
      await scene.client.subscribe("room:2", { since: "e1.0.0", last: 1 });
      expect(scene.messages()).to.deep.equal(["e recovered"]);
      expect(scene.server.requests("_subscribe")).to.deep.equal([
        { channel: "room", last: 1 },
        { channel: "room:2", since: "e1.0.0" },
      ]);
      expect(scene.client.position("room")).to.equal(entries[4]?.at);
    });

    it("gets what is older than what it has, where it is in the channel already, and nothing twice", async () => {
      five();
      await scene.client.subscribe("room");
      scene.server.publish("room", "f");
      await scene.client.subscribe("room", { last: 3 });
      await scene.client.subscribe("room");
      scene.server.publish("room", "g");
      await scene.echo();
      expect(scene.messages()).to.deep.equal(["f", "d recovered", "e recovered", "g"]);
    });

    for (const [cut, options] of [
      ["since", { since: "e1.3.t3" }],
      ["last", { last: 2 }],
    ] as const) {
      for (const delivered of [0, 1]) {
        it(`by ${cut} gets all where it is cut after ${delivered} messages of them`, async () => {
          five();
          const isCut = deferred();
          scene.server.intercept = (frame, socket) => {
            if (frame.rpc !== "_subscribe") return false;
            scene.server.intercept = () => false;
            scene.server.join(frame, socket);
            const { entries } = scene.server.after(frame.req, "room");
            for (const entry of entries.slice(0, delivered))
              scene.server.send(socket, scene.server.frame("room", entry));
            socket.close();
            isCut.resolve();
            return true;
          };
          const joined = scene.client.subscribe("room", options);
          await isCut.promise;
          await joined;
          expect(scene.messages()).to.deep.equal(["d recovered", "e recovered"]);
          // it does not begin once more
          if (delivered) {
            for (const req of scene.server.requests("_subscribe").slice(1)) {
              expect(req)
                .to.have.property("since")
                .that.match(/^e1\.[45]\./);
            }
          }
          scene.server.publish("room", "f");
          await scene.echo();
          expect(scene.messages().at(-1)).to.equal("f");
        });
      }
    }

    it("says that messages may be lost, where there is no history after a position that it has kept", async () => {
      await scene.client.subscribe("hall", { since: "e1.3.t3" });
      expect(scene.heard).to.deep.equal([["lost", "hall", { messages: null, reason: "reset" }]]);
      expect(scene.client.position("hall")).to.equal(undefined);
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
        ["since", ["e1.1.t1"]],
        ["last", 0],
        ["last", "50"],
        ["last", [50]],
        ["last", -1],
        ["last", 1.5],
        ["last", Infinity],
      ];
      for (const [name, value] of wrong) {
        const options = { [name]: value };
        const error = await failure(scene.client.subscribe("room", options));
        expect(error, `${value}`).to.be.instanceOf(TypeError);
        expect(error.message).to.match(new RegExp(`^${name} must be: `));
        expect(() => scene.client.channel("room", options)).to.throw(TypeError, name);
        const before = { [name.replace("since", "before")]: value };
        expect(await failure(scene.client.history("room", before))).to.be.instanceOf(TypeError);
      }
      expect(() => scene.client.channel("room", { onLost: "ignore" as "throw" })).to.throw(
        TypeError,
        "onLost",
      );
      expect(scene.server.frames.map(({ rpc }) => rpc)).to.deep.equal(["auth"]);
    });

    it("is told by the server what is wrong with a position", async () => {
      scene.server.intercept = ({ rpc, uuid }, socket) => {
        if (rpc === "_subscribe") {
          scene.server.send(socket, { rpc, uuid, error: { message: "Invalid request", code: "invalid" } });
        }
        return rpc === "_subscribe";
      };
      expect(await failure(scene.client.subscribe("room", { since: "e1.1.t1" }))).to.have.property(
        "code",
        "invalid",
      );
      expect(scene.client.channels()).to.deep.equal([]);
    });

    it("has a position as long as it is in the channel", async () => {
      expect(scene.client.position("room")).to.equal(undefined);
      await scene.client.subscribe("room");
      scene.server.publish("room", "a");
      await scene.echo();
      expect(scene.client.position("room")).to.equal("e1.1.t1");
      await scene.client.unsubscribe("room");
      expect(scene.client.position("room")).to.equal(undefined);
      scene.server.keep("room", "b");
      await scene.client.subscribe("room");
      expect(scene.messages()).to.deep.equal(["a"]);
    });
  });

  it("hears how many messages it has read too slowly to get, and goes on from there", async () => {
    await scene.client.subscribe("room");
    for (let i = 0; i < 2; i++) scene.server.keep("room", i);
    scene.server.sendAll({
      channel: "room",
      lost: { messages: 2, reason: "slow" },
      at: scene.server.newest("room"),
    });
    await scene.echo();
    expect(scene.heard).to.deep.equal([["lost", "room", { messages: 2, reason: "slow" }]]);
    expect(scene.client.position("room")).to.equal("e1.2.t2");
  });

  it("is where a history goes on that has gone back to a message that it has", async () => {
    await scene.client.subscribe("room");
    for (const message of ["a", "b"]) scene.server.publish("room", message);
    scene.server.sendAll({ channel: "room", lost: { messages: null, reason: "diverged" }, at: "e1.1.t1" });
    await scene.echo();
    expect(scene.client.position("room")).to.equal("e1.1.t1");
  });

  it("does not pass over what could not be recovered where the server joins it once more", async () => {
    await missOne();
    failOnce((socket) => {
      scene.server.send(socket, { internal: true, command: "subscribe", data: { channel: "room" } });
      scene.server.publish("room", "c");
    });
    await happened(scene.client, "reconnect");
    expect(scene.plain()).to.have.members(["a", "b", "c"]);
  });

  it("gets what could not be recovered when it subscribes once more, whatever a loop has got meanwhile", async () => {
    await scene.client.subscribe("room");
    scene.server.publish("room", "a");
    await scene.echo();
    failOnce(() => scene.server.keep("room", "b"));
    expect(await failure(scene.client.subscribe("room"))).to.have.property("code", "unavailable");
    scene.server.publish("room", "c");
    await scene.echo();
    expect((await scene.client.channel("room", { last: 1 }).next()).value).to.equal("c");
    await scene.client.subscribe("room");
    expect(scene.plain()).to.deep.equal(["a", "c", "b"]);
    const [asked] = scene.server.requests("_subscribe").slice(-1);
    expect(asked).to.deep.equal({ channel: "room", since: "e1.1.t1" });
    expect(scene.client.position("room")).to.equal("e1.3.t3");
  });

  it("stays where it is where it is told of a loss of what is older", async () => {
    await scene.client.subscribe("room");
    for (const message of ["a", "b", "c", "d"]) scene.server.publish("room", message);
    await scene.echo();
    scene.server.log("room").splice(0, 2);
    await scene.client.subscribe("room", { since: "e1.1.t1" });
    scene.server.sendAll({ channel: "room", lost: { messages: 1, reason: "slow" }, at: "e1.2.t" });
    await scene.echo();
    expect(scene.client.position("room")).to.equal("e1.4.t4");
    expect(scene.others()).to.deep.include(["lost", "room", { messages: 1, reason: "trimmed" }]);
  });

  describe("on a channel that the server has joined it to", () => {
    const joinItself = () => {
      for (const socket of scene.server.connections) scene.server.joinItself("room:own", socket);
    };

    for (const isFirst of [true, false]) {
      it(`gets what it has missed, where the server ${isFirst ? "joins it first" : "answers first that it may not"}`, async () => {
        joinItself();
        scene.server.publish("room:own", "a");
        await scene.echo();
        expect(scene.client.position("room:own")).to.equal("e1.1.t1");
        await scene.lose();
        scene.server.publish("room:own", "b");
        scene.server.intercept = ({ rpc, uuid }, socket) => {
          const refuse = () =>
            scene.server.send(socket, { rpc, uuid, error: { message: "Forbidden", code: "forbidden" } });
          if (rpc !== "_subscribe") return false;
          if (!isFirst) refuse();
          scene.server.joinItself("room:own", socket);
          if (isFirst) refuse();
          return true;
        };
        await happened(scene.client, "reconnect");
        scene.server.publish("room:own", "c");
        await scene.echo();
        expect(scene.messages()).to.deep.equal(["a", "b recovered", "c"]);
        expect(scene.others()).to.deep.equal([["recovered", "room:own", { messages: 1 }]]);
        expect(scene.client.channels()).to.deep.equal(["room:own"]);
        expect(scene.client.position("room:own")).to.equal(scene.server.newest("room:own"));
        const auths = scene.server.frames.filter(({ rpc }) => rpc === "auth");
        expect(auths.map(({ positions }) => positions)).to.deep.equal([undefined, { "room:own": "e1.1.t1" }]);
      });
    }

    it("hears of what is lost", async () => {
      joinItself();
      scene.server.publish("room:own", "a");
      await scene.echo();
      await scene.lose();
      scene.server.epoch = "e2";
      scene.server.keep("room:own", "b");
      scene.server.intercept = (frame, socket) => {
        if (frame.rpc === "_subscribe") scene.server.joinItself("room:own", socket);
        return (
          frame.rpc === "_subscribe" &&
          scene.server.answer({ ...frame, req: { channel: "secret" } }, socket) === undefined
        );
      };
      await happened(scene.client, "reconnect");
      expect(scene.others()).to.deep.include(["lost", "room:own", { messages: null, reason: "reset" }]);
    });

    it("gives the position from before, where the server could not read the history", async () => {
      joinItself();
      scene.server.publish("room:own", "a");
      await scene.echo();
      await scene.lose();
      scene.server.intercept = ({ rpc, uuid }, socket) => {
        if (rpc !== "_subscribe") return false;
        scene.server.join({ req: { channel: "room:own" } }, socket);
        const error = { message: "Service unavailable", code: "unavailable" };
        scene.server.send(socket, { channel: "room:own", recovered: 0, error });
        scene.server.send(socket, { rpc, uuid, error: { message: "Forbidden", code: "forbidden" } });
        return true;
      };
      await happened(scene.client, "reconnect");
      scene.server.publish("room:own", "b");
      await scene.echo();
      expect(scene.client.position("room:own")).to.equal("e1.1.t1");
      await scene.lose();
      expect(scene.client.channels()).to.deep.equal(["room:own"]);
    });
  });

  describe("that publishes", () => {
    it("sends a message again whose connection was lost, which counts once", async () => {
      await scene.client.subscribe("room");
      for (const isCarriedOut of [true, false]) {
        const cut = deferred();
        scene.server.intercept = (frame, socket) => {
          if (frame.rpc !== "_publish") return false;
          scene.server.intercept = () => false;
          if (isCarriedOut) scene.server.answer({ ...frame, uuid: "nobody" }, socket);
          socket.close();
          cut.resolve();
          return true;
        };
        const published = scene.client.publish("room", isCarriedOut);
        await cut.promise;
        await published;
      }
      await scene.echo();
      expect(scene.plain()).to.deep.equal(["true", "false"]);
      const sent = scene.server.requests("_publish") as { id: string }[];
      expect(new Set(sent.map(({ id }) => id)).size).to.equal(2);
      expect(sent).to.have.length(4);
    });

    it("sends messages again in their order, before those that have waited", async () => {
      await scene.client.subscribe("room");
      scene.server.intercept = ({ rpc }) => rpc === "_publish";
      const first = [scene.client.publish("room", 1), scene.client.publish("room", 2)];
      await scene.echo();
      await scene.lose();
      scene.server.intercept = () => false;
      await Promise.all([...first, scene.client.publish("room", 3)]);
      expect(scene.server.log("room").map(({ message }) => message)).to.deep.equal([1, 2, 3]);
    });

    it("rejects one whose connection was lost, where the channel is not known to have a history", async () => {
      await scene.client.subscribe("hall");
      scene.server.intercept = ({ rpc }) => rpc === "_publish" || rpc === "_broadcast";
      const lost = [failure(scene.client.publish("hall", 1)), failure(scene.client.broadcast(1))];
      await scene.echo();
      await scene.lose();
      for (const error of await Promise.all(lost)) {
        expect(error).to.include({ code: "disconnected", sent: true });
      }
      await happened(scene.client, "reconnect");
      expect(scene.server.requests("_publish")).to.have.length(1);
    });

    it("rejects one whose connection was lost, where it is not to wait", async () => {
      await scene.client.subscribe("room");
      scene.server.intercept = ({ rpc }) => rpc === "_publish";
      const lost = failure(scene.client.publish("room", 1, { queue: false }));
      await scene.echo();
      await scene.lose();
      expect(await lost).to.include({ code: "disconnected", sent: true });
    });

    it("rejects one that it cannot send again, since the next server keeps no histories, as sent", async () => {
      await scene.client.subscribe("room");
      scene.server.intercept = ({ rpc }) => rpc === "_publish";
      const lost = failure(scene.client.publish("room", 1));
      await scene.echo();
      scene.server.server = { protocol: 4 };
      await scene.lose();
      expect(await lost).to.include({ code: "disconnected", sent: true });
      expect(scene.server.requests("_publish")).to.have.length(1);
    });

    it("rejects one that waits to be sent again, when the client ends, as sent", async () => {
      await scene.client.subscribe("room");
      scene.server.intercept = ({ rpc }) => rpc === "_publish";
      const lost = failure(scene.client.publish("room", 1));
      await scene.echo();
      await scene.lose();
      await scene.client.end();
      expect(await lost).to.include({ code: "disconnected", sent: true });
    });

    it("gives one up that waits to be sent again, when it takes too long or is cancelled", async () => {
      await scene.client.subscribe("room");
      scene.server.intercept = ({ rpc }) => rpc === "_publish" || rpc === "_subscribe";
      const abort = new AbortController();
      const late = failure(scene.client.publish("room", 1, { timeout: 50 }));
      const cancelled = failure(scene.client.publish("room", 2, { signal: abort.signal }));
      await scene.echo();
      await scene.lose();
      abort.abort();
      expect(await cancelled).to.have.property("code", "aborted");
      // whether it was carried out is not known
      expect(await late).to.include({ code: "disconnected", sent: true });
      await until(() => scene.server.requests("_subscribe").length === 2);
      scene.server.intercept = () => false;
      await scene.lose();
      await happened(scene.client, "reconnect");
      await scene.echo();
      expect(scene.server.requests("_publish")).to.have.length(2);
    });
  });
});
