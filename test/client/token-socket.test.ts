import { expect } from "chai";
import { type TokenSocket, UnauthorizedError } from "../../lib/client/index.js";
import { HistoryServer } from "./history-server.js";
import { deferred, failure, happened, inState, type Place, Stage } from "./support.js";

describe("A client", () => {
  let stage: Stage;
  let server: HistoryServer;
  let place: Place;
  let client: TokenSocket;
  /** What its listeners have heard of its identity. */
  let identities: unknown[][];

  beforeEach(async () => {
    stage = new Stage();
    server = new HistoryServer();
    server.server = { protocol: 4, identity: "alice", identityHash: "a" };
    place = await stage.server(server.http);
    client = stage.client(place);
    identities = [];
    client.on("identity", (...change) => identities.push(change));
    await client.ready();
  });
  afterEach(() => stage.clear());

  /** Has the server close the connection as for a user that it does not let in any more. */
  const refuse = async () => {
    const closed = inState(client, "closed");
    for (const socket of server.connections) socket.close(4403, "Log in");
    return closed;
  };

  it("is another identity where the server shows another one, or knows it for another one by itself", async () => {
    for (const [identity, identityHash] of [
      ["alice", "a"],
      ["bob", "b"],
      ["bob", "c"],
      [undefined, "c"],
    ]) {
      server.server = { protocol: 4, identity, identityHash };
      await client.reauthenticate();
      expect(client.identity).to.equal(identity);
    }
    expect(identities).to.deep.equal([
      ["alice", undefined],
      ["bob", "alice"],
      ["bob", "bob"],
      [undefined, "bob"],
    ]);
    expect(client.identityVersion).to.equal(3);
  });

  it("is nobody where the server has refused it for good, and somebody else after the next login", async () => {
    expect(await refuse()).to.be.instanceOf(UnauthorizedError);
    expect([client.identity, client.identityVersion]).to.deep.equal([undefined, 1]);
    await client.reauthenticate();
    expect([client.identity, client.identityVersion]).to.deep.equal(["alice", 2]);
    expect(identities).to.deep.equal([
      ["alice", undefined],
      [undefined, "alice"],
      ["alice", undefined],
    ]);
  });

  it("counts as somebody else after a refusal also where the server shows nothing of it", async () => {
    server.server = { protocol: 4 };
    const other = stage.client(place);
    await other.ready();
    const heard = happened(other, "identity");
    const closed = inState(other, "closed");
    await refuse();
    await closed;
    expect(await heard).to.deep.equal([undefined, undefined]);
    expect(other.identityVersion).to.equal(1);
  });

  it("keeps its identity while its connection is lost, and when it ends itself", async () => {
    const lost = inState(client, "waiting");
    server.cut();
    await lost;
    expect(client.identity).to.equal("alice");
    await happened(client, "reconnect");
    await client.end();
    expect([client.identity, client.identityVersion]).to.deep.equal(["alice", 0]);
    expect(identities).to.have.length(1);
  });

  it("is ready once, and back after that, also after a refusal", async () => {
    const heard: string[] = [];
    const other = stage.client(place);
    other.on("ready", () => heard.push("ready"));
    expect(other.onreconnect(() => heard.push("back"))).to.equal(other);
    await other.ready();
    server.cut();
    // to be refused, both have to be there
    await Promise.all([happened(client, "reconnect"), happened(other, "reconnect")]);
    const closed = inState(other, "closed");
    await refuse();
    await closed;
    await other.reauthenticate();
    expect(heard).to.deep.equal(["ready", "back", "back"]);
  });

  it("ends its loops without an error when it ends, and with the reason where it is refused", async () => {
    const loop = client.channel("hall");
    const first = loop.next();
    await happened(client, "subscribed");
    const reason = await refuse();
    expect(await failure(first)).to.equal(reason);
    expect(client.channels()).to.deep.equal([]);
    await client.reauthenticate();
    const other = client.channel("hall").next();
    await happened(client, "subscribed");
    await client.end();
    expect(await other).to.deep.equal({ done: true, value: undefined });
  });

  it("logs calls that have failed where it is told to, since a promise that nobody looks at says nothing", async () => {
    const error = await failure(client.subscribe("secret"));
    const callback = deferred<unknown[]>();
    client.subscribe("secret", (...args) => callback.resolve(args));
    const [given] = await callback.promise;
    expect(given).to.have.property("code", "forbidden");
    expect(stage.debug.filter(([message]) => message === "A call failed")).to.deep.equal([
      ["A call failed", error],
    ]);
    expect(stage.errors).to.deep.equal([]);
  });

  it("logs frames that it does not know, and goes on", async () => {
    const frames = [{ hello: 1 }, { rpc: "echo", uuid: "nobody", resp: 1 }];
    server.sendAll(...frames);
    expect(await client.rpc("echo", 1)).to.equal(1);
    expect(stage.debug).to.deep.equal(frames.map((frame) => ["Unknown frame", JSON.stringify(frame)]));
  });

  it("is not put behind a proxy by Vue", () => {
    expect(client.__v_skip).to.equal(true);
  });
});
