import { expect } from "chai";
import { CallError, DisconnectedError, type TokenSocketOptions } from "../../lib/client/index.js";
import { HistoryServer } from "./history-server.js";
import { deferred, failure, happened, inState, Stage, Version3Server } from "./support.js";

describe("The requests of a client", () => {
  let stage: Stage;
  let server: HistoryServer;

  beforeEach(() => {
    stage = new Stage();
    server = new HistoryServer();
  });
  afterEach(() => stage.clear());

  const start = async (options: TokenSocketOptions = {}) => {
    const client = stage.client(await stage.server(server.http), options);
    await client.ready();
    return client;
  };

  const sent = () => server.frames.map(({ rpc }) => rpc);

  it("may have as many bytes as the server takes, and no more", async () => {
    server.server = { protocol: 4, messageBytes: 1000 };
    const client = await start();
    /** A text with which a request has so many bytes; its id has one digit. */
    const filling = (bytes: number, text: string) => {
      const rest = bytes - JSON.stringify({ rpc: "echo", req: "", uuid: 2 }).length;
      const each = new TextEncoder().encode(text).length;
      return text.repeat(rest / each) + "x".repeat(rest % each);
    };
    for (const text of ["x", "ü", "€"]) {
      expect(await client.rpc("echo", filling(1000, text)), text).to.equal(filling(1000, text));
      const error = await failure(client.rpc("echo", filling(1001, text)));
      expect(error, text).to.be.instanceOf(CallError);
      expect(error, text).to.include({
        code: "too_large",
        message: "1001 bytes exceed limits.messageBytes, 1000",
      });
    }
    expect(sent()).to.deep.equal(["auth", "echo", "echo", "echo"]);
  });

  it("are as long as they like where the server does not say what it takes", async () => {
    const text = "x".repeat(1_000_000);
    expect(await (await start()).rpc("echo", text)).to.equal(text);
  });

  it("are its own alone where none may wait, and fail at once when it ends", async () => {
    const client = await start({ queue: false });
    expect(await client.rpc("echo", 1)).to.equal(1);
    server.intercept = ({ rpc }) => rpc === "echo";
    const call = failure(client.rpc("echo", 2));
    await client.subscribe("room");
    await client.end();
    expect(await call)
      .to.be.instanceOf(DisconnectedError)
      .with.property("sent", true);
    expect(await failure(client.rpc("echo", 3)))
      .to.be.instanceOf(DisconnectedError)
      .with.property("sent", false);
    expect(sent()).to.deep.equal(["auth", "echo", "echo", "_subscribe"]);
  });

  it("are taken back where they were sent and nobody waits for them any more, and only these", async () => {
    const client = await start();
    server.intercept = ({ rpc }) => rpc === "echo";
    const abort = new AbortController();
    const call = failure(client.rpc("echo", 1, { signal: abort.signal }));
    await client.subscribe("hall");
    abort.abort();
    expect(await call).to.have.property("code", "aborted");
    await client.unsubscribe("hall");
    // what has waited was not sent
    const lost = inState(client, "waiting");
    server.cut();
    await lost;
    expect(await failure(client.rpc("echo", 2, { timeout: 0 }))).to.have.property("code", "timeout");
    server.intercept = () => false;
    expect(await client.rpc("echo", 3)).to.equal(3);
    const taken = server.frames.find(({ req }) => (req as unknown) === 1)?.uuid;
    expect(server.requests("_cancel")).to.deep.equal([{ uuid: taken }]);
    expect(server.requests("echo")).to.deep.equal([1, 3]);
  });

  it("are sent in their order when the connection is open, whichever of them cannot be sent", async () => {
    server.server = { protocol: 4, messageBytes: 100 };
    const client = stage.client(await stage.server(server.http));
    const calls = [1, "x".repeat(100), 2].map((data) => client.rpc("echo", data));
    expect(await failure(calls[1] as Promise<unknown>)).to.have.property("code", "too_large");
    expect([await calls[0], await calls[2]]).to.deep.equal([1, 2]);
    expect(server.requests("echo")).to.deep.equal([1, 2]);
  });

  it("let 128 items of a stream come ahead of its reader, where the call says no other number", async () => {
    const client = await start();
    const granted = deferred<object>();
    server.intercept = ({ rpc, uuid, req }, socket) => {
      if (rpc === "echo") server.send(socket, { rpc, uuid, stream: true });
      if (rpc === "_credit") {
        granted.resolve(req);
        server.send(socket, { stream: (req as unknown as { uuid: number }).uuid, end: true });
      }
      return rpc === "echo" || rpc === "_credit";
    };
    for await (const _ of client.rpc("echo", 1)) expect.fail("There is none");
    expect(await granted.promise).to.deep.equal({ uuid: 2, items: 128 });
    // what the server has ended needs no end
    await client.subscribe("hall");
    expect(server.requests("_cancel")).to.deep.equal([]);
  });

  it("may be answered with what they have joined or left, and with their id", async () => {
    const client = await start();
    await client.subscribe("hall");
    server.intercept = ({ rpc, uuid, req }, socket) => {
      if (rpc !== "_unsubscribe") return false;
      server.send(socket, { internal: true, command: "unsubscribe", data: { ...req, uuid } });
      server.send(socket, { rpc, uuid, resp: "success" });
      return true;
    };
    const left = happened(client, "unsubscribed");
    await client.unsubscribe("hall");
    expect(await left).to.deep.equal(["hall", undefined]);
    expect(stage.debug).to.deep.equal([]);
  });

  describe("to a server of version 3", () => {
    const join = async () => {
      const old = new Version3Server();
      const client = stage.client(await stage.server(old.http));
      await client.ready();
      const waiting: Record<string, unknown>[] = [];
      old.intercept = (frame) => frame.rpc === "_subscribe" && waiting.push(frame) > 0;
      const answered: string[] = [];
      const joins = ["room", "room", "hall"].map((channel, index) =>
        client.subscribe(channel).then(() => answered.push(`${channel} ${index}`)),
      );
      await client.rpc("echo", 1);
      const say = async (data: object, command = "subscribe") => {
        for (const socket of old.connections) {
          socket.send(JSON.stringify({ internal: true, command, data }));
        }
        await client.rpc("echo", 1);
        return answered;
      };
      return { waiting, joins, say };
    };

    it("are answered by its word that a channel was joined, each by its own", async () => {
      const { waiting, joins, say } = await join();
      const uuid = (index: number) => waiting[index]?.uuid;
      expect(await say({ channel: "room", uuid: uuid(1) })).to.deep.equal(["room 1"]);
      expect(await say({ channel: "hall", uuid: uuid(2) })).to.deep.equal(["room 1", "hall 2"]);
      await say({ channel: "room", uuid: uuid(0) });
      await Promise.all(joins);
    });

    it("are not answered by its word that the channel was left", async () => {
      const { joins, say } = await join();
      expect(await say({ channel: "hall" }, "unsubscribe")).to.deep.equal([]);
      for (const channel of ["room", "room", "hall"]) await say({ channel });
      await Promise.all(joins);
    });

    it("are answered by its word without an id one after the other", async () => {
      const { joins, say } = await join();
      expect(await say({ channel: "hall" })).to.deep.equal(["hall 2"]);
      expect(await say({ channel: "room" })).to.deep.equal(["hall 2", "room 0"]);
      await say({ channel: "room" });
      await Promise.all(joins);
    });
  });
});
