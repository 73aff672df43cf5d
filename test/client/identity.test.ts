import { once } from "node:events";
import { expect } from "chai";
import type { WebSocket } from "ws";
import { ConnectionError, ForbiddenError } from "../../lib/client/index.js";
import { expiring } from "../../lib/index.js";
import { deferred, failure, happened, inState, Stage, Version3Server } from "./support.js";

describe("A client whose identity ends", () => {
  let stage: Stage;

  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.clear());

  it("presents a new token before that, on the live connection, with its channels and calls", async () => {
    let requests = 0;
    const slow = deferred<(value: unknown) => void>();
    const place = await stage.application({
      options: {
        // the first ones are short
        authentication: () => expiring({ name: "alice" }, Date.now() + (++requests < 4 ? 400 : 3_600_000)),
        limits: { expiryGrace: 10_000 },
        socketController: {
          slow: (_auth, _data, callback) => slow.resolve((value) => callback(null, value)),
        },
      },
    });
    const client = stage.client(place);
    const states: string[] = [];
    client.on("state", (state) => states.push(state));
    await client.subscribe("room");
    const call = client.rpc("slow");
    const answer = await slow.promise;
    const refreshed = deferred();
    place.tokenServer.on("authenticated", () => requests === 4 && refreshed.resolve());
    await refreshed.promise;
    answer("done");
    expect(await call).to.equal("done");
    expect(place.tokenServer.channelSockets("room")).to.have.length(1);
    expect(states).to.deep.equal(["open"]);
  });

  it("tries again in the time that is left where a token cannot be had", async () => {
    const asked: number[] = [];
    const done = deferred();
    const place = await stage.application({
      options: {
        authentication: (_req, callback) => {
          asked.push(Date.now());
          if (asked.length === 2) return callback(new Error("Not now"));
          if (asked.length === 3) done.resolve();
          callback(null, { name: "alice" }, { expiresAt: asked.length === 1 ? Date.now() + 400 : undefined });
        },
      },
    });
    const client = stage.client(place);
    await client.ready();
    await done.promise;
    expect(client.state).to.equal("open");
  });

  it("gives up at the end of the time, and comes back when the server closes", async () => {
    let isBroken = false;
    let asked = 0;
    const place = await stage.application({
      options: {
        limits: { expiryGrace: 200 },
        authentication: (_req, callback) => {
          if (isBroken) asked++;
          if (isBroken) return callback(new Error("Not now"));
          callback(null, { name: "alice" }, { expiresAt: Date.now() + 300 });
        },
      },
    });
    const client = stage.client(place, { backoff: { min: 10, max: 20 } });
    await client.ready();
    isBroken = true;
    const reason = await inState(client, "waiting");
    expect(reason).to.be.instanceOf(ConnectionError).with.include({ status: 4410 });
    // at most once in each `backoff.min` while it had time
    expect(asked).to.be.within(1, 5);
    isBroken = false;
    await happened(client, "reconnect");
  });

  it("is closed for good where the session has ended", async () => {
    let isLoggedIn = true;
    const place = await stage.application({
      options: { authentication: () => isLoggedIn && expiring({}, Date.now() + 60) },
    });
    const client = stage.client(place);
    await client.ready();
    isLoggedIn = false;
    expect(await inState(client, "closed")).to.have.property("code", "unauthorized");
  });

  it("presents a new token when the server asks for it, and hears which channels it has lost and why", async () => {
    let name = "alice";
    const place = await stage.application({ options: { authentication: () => ({ name }) } });
    const { tokenServer } = place;
    const client = stage.client(place);
    await client.subscribe("room");
    await client.subscribe("open");
    tokenServer.on("subscribe", (socket, { channel }) => channel === "open" || socket.auth.name === "alice");
    name = "bob";
    const lost = happened(client, "unsubscribed");
    expect(await tokenServer.refresh(place.application.socket())).to.equal(1);
    const [channel, error] = await lost;
    expect(channel).to.equal("room");
    expect(error).to.be.instanceOf(ForbiddenError);
    expect(place.application.socket().auth).to.deep.equal({ name: "bob" });
    expect(client.channels()).to.deep.equal(["open"]);
    expect(client.state).to.equal("open");
  });

  it("comes back as somebody else where the server lets no connection change hands", async () => {
    let name = "alice";
    const place = await stage.application({
      options: {
        authentication: () => ({ name }),
        identify: (auth: { name: string }) => auth.name,
        socketController: { who: (auth: { name?: unknown }) => auth.name },
      },
    });
    const client = stage.client(place);
    await client.ready();
    await client.reauthenticate();
    const { sid } = place.application.socket();
    name = "bob";
    let isBack = false;
    client.onreconnect(() => {
      isBack = true;
    });
    await client.reauthenticate();
    expect([client.state, isBack]).to.deep.equal(["open", true]);
    expect(place.application.socket().sid).to.not.equal(sid);
    expect(await client.rpc("who")).to.equal("bob");
  });

  it("is not authenticated again where it does not come back as somebody else", async () => {
    let name = "alice";
    const place = await stage.application({
      options: { authentication: () => ({ name }), identify: (auth: { name: string }) => auth.name },
    });
    const client = stage.client(place, { reconnect: false });
    await client.ready();
    name = "bob";
    const error = await failure(client.reauthenticate());
    expect(error).to.include({ code: "connection", status: 4409 });
    expect(client.reason).to.equal(error);
  });

  it("is authenticated again when it is back, where the connection is lost or stuck meanwhile", async () => {
    for (const spoil of [(socket: WebSocket) => socket.terminate(), () => {}]) {
      const server = new Version3Server();
      const place = await stage.server(server.http);
      const client = stage.client(place, { connectTimeout: 100 });
      await client.ready();
      let spoilt = 0;
      server.intercept = ({ rpc }, socket) => {
        if (rpc !== "auth" || spoilt++ > 0) return false;
        spoil(socket);
        return true;
      };
      await client.reauthenticate();
      expect([client.state, spoilt, server.tokenRequests.length]).to.deep.equal(["open", 2, 3]);
    }
  });

  it("knows by `identify` whether it has come back as somebody else, also where nothing is shown", async () => {
    let name = "alice";
    const place = await stage.application({
      options: { authentication: () => ({ name }), identify: (auth: { name: string }) => auth.name },
    });
    const client = stage.client(place);
    const changes: unknown[] = [];
    client.on("identity", (...change) => changes.push(change));
    await client.ready();
    for (const next of ["alice", "bob", "bob"]) {
      name = next;
      const back = happened(client, "reconnect");
      place.cut();
      await back;
    }
    await client.reauthenticate();
    expect(changes).to.deep.equal([[undefined, undefined]]);
    expect([client.identity, client.identityVersion]).to.deep.equal([undefined, 1]);
  });

  it("is the same one on another server of the same application", async () => {
    const options = {
      authentication: () => ({ name: "alice" }),
      identify: (auth: { name: string }) => auth.name,
      showIdentity: (auth: { name: string }) => ({ name: auth.name }),
    };
    const first = await stage.application({ options });
    const client = stage.client(first);
    await client.ready();
    await first.stop();
    await inState(client, "waiting");
    await stage.application({ options }, first.port);
    await happened(client, "reconnect");
    expect(client.identityVersion).to.equal(0);
  });

  it("takes itself for another one by `reauthenticate()` alone where the server says nothing of that", async () => {
    const place = await stage.application();
    const old = await stage.server(new Version3Server().http);
    for (const { url } of [place, old]) {
      const client = stage.client({ url });
      const changes: unknown[] = [];
      client.on("identity", (...change) => changes.push(change));
      await client.ready();
      const back = happened(client, "reconnect");
      place.cut();
      old.cut();
      await back;
      expect(client.identityVersion).to.equal(0);
      await client.reauthenticate();
      expect(changes).to.deep.equal([[undefined, undefined]]);
      expect([client.identity, client.identityVersion]).to.deep.equal([undefined, 1]);
    }
    // the server asks for a new token of the same user
    const client = stage.client(place);
    await client.ready();
    const again = once(place.tokenServer, "authenticated");
    await place.tokenServer.refresh(place.application.socket());
    await again;
    await client.publish("room", 1);
    expect(client.identityVersion).to.equal(0);
  });

  it("may be ended by a listener that hears of its identity", async () => {
    const place = await stage.application({
      options: {
        authentication: () => expiring({ name: "alice" }, Date.now() + 60_000),
        showIdentity: ({ name }) => name,
      },
    });
    const client = stage.client(place);
    client.on("identity", () => client.end());
    expect(await failure(client.ready())).to.have.property("code", "disconnected");
    expect(client.identity).to.equal("alice");
  });

  it("is closed for good after a logout that closes the session's sockets", async () => {
    let sessionId = "";
    const place = await stage.application({
      options: {
        authentication: (req) => {
          if (sessionId) return false;
          sessionId = req.sessionID;
          return { name: "alice" };
        },
      },
    });
    const client = stage.client(place);
    await client.ready();
    expect(await place.tokenServer.disconnect({ sessionId })).to.equal(1);
    expect(await inState(client, "closed")).to.have.property("code", "unauthorized");
  });

  it("sets no timer for what a server of version 3 says", async () => {
    const server = new Version3Server();
    const place = await stage.server(server.http);
    server.intercept = (frame, socket) => {
      if (frame.rpc !== "auth") return false;
      socket.send(JSON.stringify({ ...frame, resp: "success", expiresIn: 1 }));
      return true;
    };
    const client = stage.client(place);
    await client.ready();
    expect(await client.rpc("echo", 1)).to.equal(1);
    expect(server.tokenRequests).to.have.length(1);
  });
});
