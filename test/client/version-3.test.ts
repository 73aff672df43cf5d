import { expect } from "chai";
import { DisconnectedError, ForbiddenError, type TokenSocket } from "../../lib/client/index.js";
import { deferred, failure, happened, inState, type Place, Stage, Version3Server } from "./support.js";

describe("A client of a version 3 server", () => {
  let stage: Stage;
  let server: Version3Server;
  let place: Place;
  let client: TokenSocket;

  beforeEach(async () => {
    stage = new Stage();
    server = new Version3Server();
    place = await stage.server(server.http);
    client = stage.client(
      place,
      { connectTimeout: 500 },
      { add: ({ a, b }: { a: number; b: number }) => a + b },
    );
    await client.ready();
  });
  afterEach(() => stage.clear());

  const toClient = (frame: unknown) => {
    for (const socket of server.connections) {
      socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
    }
  };

  it("sends the frames of version 3", async () => {
    await client.subscribe("room");
    await client.publish("room", 1);
    await client.broadcast(2);
    await client.unsubscribe("room");
    await client.rpc("echo", 3);
    const [auth, ...frames] = server.frames;
    expect(auth).to.include({ rpc: "auth", token: "3f0f9d70-6c4c-4b3f-9c59-0a1f6f0c5b11", protocol: 4 });
    const plain = frames.map(({ uuid, ...frame }) => {
      expect(uuid).to.be.a("number");
      return frame;
    });
    expect(plain).to.deep.equal([
      { rpc: "_subscribe", req: { channel: "room" } },
      { rpc: "_publish", req: { channel: "room", data: 1 } },
      { rpc: "_broadcast", req: { data: 2 } },
      { rpc: "_unsubscribe", req: { channel: "room" } },
      { rpc: "echo", req: 3 },
    ]);
    expect(new Set(server.frames.map(({ uuid }) => uuid)).size).to.equal(6);
  });

  it("is done with a message when it is sent", async () => {
    server.intercept = ({ rpc }) => rpc === "_publish";
    await client.publish("room", 1);
    expect(await client.rpc("echo", { a: 1 })).to.deep.equal({ a: 1 });
  });

  it("has joined when the server says so, and not when it refuses", async () => {
    const held = deferred<() => void>();
    server.intercept = ({ rpc, req, ...frame }) => {
      if (rpc !== "_subscribe" || req?.channel !== "room") return false;
      held.resolve(() =>
        toClient({ internal: true, command: "subscribe", data: { ...frame, rpc, req, channel: "room" } }),
      );
      return true;
    };
    const joined = client.subscribe("room");
    const release = await held.promise;
    expect(client.channels()).to.deep.equal([]);
    release();
    await joined;
    expect(client.channels()).to.deep.equal(["room"]);
    expect(await failure(client.subscribe("secret"))).to.be.instanceOf(ForbiddenError);
    expect(await failure(client.unsubscribe("secret"))).to.be.instanceOf(ForbiddenError);
  });

  it("answers the server's calls", async () => {
    const answered = deferred<unknown>();
    server.intercept = (frame) => {
      if (frame.rpc === "_rpc") answered.resolve(frame);
      return frame.rpc === "_rpc";
    };
    toClient({ internal: true, command: "rpc", data: { fid: "f1", command: "add", args: { a: 1, b: 2 } } });
    expect(await answered.promise).to.deep.equal({ rpc: "_rpc", fid: "f1", resp: { data: 3 } });
  });

  it("comes back with its channels, when the server closes without a word", async () => {
    await client.subscribe("room");
    for (const socket of server.connections) socket.close();
    await happened(client, "reconnect");
    const message = happened(client, "message");
    await client.publish("room", "hello");
    expect(await message).to.deep.equal(["room", "hello"]);
    expect(server.tokenRequests).to.have.length(2);
  });

  it("asks again, on the same connection, for a channel that does not come back just then", async () => {
    await client.subscribe("room");
    let refusals = 0;
    server.intercept = (frame, socket) => {
      if (frame.rpc !== "_subscribe" || refusals === 2) return false;
      refusals++;
      const error = { message: "Service unavailable", code: "unavailable", retryAfter: 10 };
      socket.send(JSON.stringify({ ...frame, error }));
      return true;
    };
    place.cut();
    await inState(client, "waiting");
    await happened(client, "reconnect");
    expect(refusals).to.equal(2);
    expect(server.tokenRequests).to.have.length(2);
    expect(client.channels()).to.deep.equal(["room"]);
  });

  it("lets nothing that the server sends throw", async () => {
    const nonsense = [
      "",
      "no JSON",
      "null",
      "[1]",
      '{"uuid":{"a":1}}',
      '{"uuid":"nobody","resp":1}',
      '{"uuid":"nobody","error":"x"}',
      '{"channel":{}}',
      '{"error":"Invalid message"}',
      '{"internal":true,"command":"rpc","data":{"fid":1}}',
      '{"internal":true,"command":"rpc","data":null}',
      '{"internal":true,"command":"__proto__","data":{}}',
      '{"internal":true}',
      '{"__proto__":{"uuid":"1"}}',
      Buffer.from("binary"),
    ];
    for (const socket of server.connections) for (const text of nonsense) socket.send(text);
    expect(await client.rpc("echo", 1)).to.equal(1);
    expect(stage.errors).to.deep.equal([]);
    const ignored = stage.debug.filter(([message]) => message === "Unknown frame");
    expect(ignored).to.have.length(nonsense.length);
  });

  it("reports a listener that throws, and goes on", async () => {
    client.onmessage(() => {
      throw new Error("listener");
    });
    toClient({ channel: "room", message: 1 });
    expect(await client.rpc("echo", 1)).to.equal(1);
    expect(stage.errors.map(String)).to.deep.equal(["A listener failed,Error: listener"]);
  });

  it("fails calls whose connection is lost, and takes no answer to them later", async () => {
    server.intercept = ({ rpc }) => rpc === "echo";
    const call = failure(client.rpc("echo", 1));
    await client.subscribe("room");
    const uuid = server.frames.find(({ rpc }) => rpc === "echo")?.uuid;
    place.cut();
    expect(await call)
      .to.be.instanceOf(DisconnectedError)
      .with.property("sent", true);
    await happened(client, "reconnect");
    toClient({ rpc: "echo", uuid, resp: 1 });
    server.intercept = () => false;
    expect(await client.rpc("echo", 2)).to.equal(2);
  });
});
