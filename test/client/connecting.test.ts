import { once } from "node:events";
import { createServer } from "node:http";
import { expect } from "chai";
import type { Request } from "express";
import {
  ConnectionError,
  DisconnectedError,
  type State,
  TokenSocket,
  UnauthorizedError,
} from "../../lib/client/index.js";
import { overhear } from "../support/http-events.js";
import { deferred, failure, happened, inState, QUICK, SLOW, Stage, Version3Server } from "./support.js";

describe("A client that connects", () => {
  let stage: Stage;

  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.clear());

  it("is ready, and says what state it is in", async () => {
    const place = await stage.application();
    const client = stage.client(place);
    const states: State[] = [];
    client.on("state", (state) => states.push(state));
    expect(client.state).to.equal("connecting");
    await happened(client, "ready");
    expect(client.state).to.equal("open");
    expect(place.tokenServer.sockets()).to.have.length(1);
    await client.end();
    expect(states).to.deep.equal(["open", "closed"]);
    // once it is there, `ready` does not wait
    const again = stage.client(place);
    await again.ready();
    await again.ready();
    await new Promise<void>((resolve) => again.ready(() => resolve()));
  });

  it("that one of its listeners ends says so to all of them, in order, and last", async () => {
    const place = await stage.application();
    const client = stage.client(place);
    const heard: string[] = [];
    client.on("state", (state) => {
      if (state === "open") void client.end();
    });
    client.on("state", (state) => heard.push(state));
    client.on("ready", () => heard.push("ready"));
    await inState(client, "closed");
    await client.end();
    expect(heard).to.deep.equal(["open", "closed"]);
  });

  it("fails with what its authentication gives where that cannot be sent", async () => {
    const place = await stage.application();
    const client = stage.client(place, { backoff: SLOW, authentication: () => new FormData() });
    const reason = await inState(client, "waiting");
    expect(reason).to.be.instanceOf(TypeError).with.property("message").that.includes("authentication");
  });

  it("needs a host outside of a page", () => {
    expect(() => new TokenSocket()).to.throw(TypeError, "host");
  });

  it("sends nested authentication data with its token request", async () => {
    const queries: unknown[] = [];
    const authentication = (req: Request) => {
      queries.push(req.query);
      return { name: "alice" };
    };
    const place = await stage.application({ options: { authentication } });
    await stage.client(place, { authentication: { project: { id: 7 } } }).ready();
    await stage.client(place, { authentication: () => ({ a: 1 }) }).ready();
    await stage.client(place, { authentication: async () => ({ b: [1, 2] }) }).ready();
    expect(queries).to.deep.equal([{ project: { id: "7" } }, { a: "1" }, { b: ["1", "2"] }]);
  });

  it("sends its authentication data as a JSON body where asked to", async () => {
    const requests: unknown[] = [];
    const authentication = (req: Request) => {
      requests.push([req.method, req.url, req.body]);
      return { name: "alice" };
    };
    const place = await stage.application({ options: { authentication } });
    await stage.client(place, { tokenMethod: "POST", authentication: { a: { b: 1 } } }).ready();
    await stage.client(place, { tokenMethod: "POST" }).ready();
    expect(requests).to.deep.equal([
      ["POST", "/socket/token", { a: { b: 1 } }],
      ["POST", "/socket/token", {}],
    ]);
  });

  it("tries its next token where the server has refused the one before", async () => {
    const place = await stage.application({
      options: {
        verifyToken: (token) => {
          if (token !== "token 2") throw new Error("Expired");
          return { auth: { name: "worker" } };
        },
      },
    });
    let tokens = 0;
    const client = stage.client(place, { token: () => `token ${++tokens}` });
    expect(await inState(client, "waiting")).to.have.property("message", "Token not found");
    await client.ready();
    expect(tokens).to.equal(2);
  });

  it("presents the token that it is given, without a token request", async () => {
    const server = new Version3Server();
    const place = await stage.server(server.http);
    let tokens = 0;
    const client = stage.client(place, { token: async () => `token ${++tokens}` });
    await client.ready();
    await client.reauthenticate();
    expect(server.frames.map(({ token }) => token)).to.deep.equal(["token 1", "token 2"]);
    expect(server.tokenRequests).to.deep.equal([]);
    const refused = stage.client(place, { token: () => Promise.reject(new UnauthorizedError("Log in")) });
    expect(await inState(refused, "closed")).to.have.property("message", "Log in");
    const silent = stage.client(place, {
      connectTimeout: 50,
      backoff: SLOW,
      token: () => new Promise(() => {}),
    });
    expect((await inState(silent, "waiting"))?.message).to.equal("token took over 50 ms");
    const none = stage.client(place, { backoff: SLOW, token: () => 5 as never });
    expect(await inState(none, "waiting")).to.be.instanceOf(TypeError);
  });

  it("asks for its headers each time where they are a function", async () => {
    const place = await stage.application();
    const seen: unknown[] = [];
    for (const event of ["request", "upgrade"])
      overhear(place.http).on(event, (req) => seen.push(req.headers["x-sample"]));
    let asked = 0;
    const client = stage.client(place, { headers: async () => ({ "X-Sample": `${++asked}` }) });
    await client.ready();
    await client.reauthenticate();
    expect(seen).to.deep.equal(["1", "2", "3"]);
    const wrong = stage.client(place, { backoff: SLOW, headers: () => ({ "a b": "c" }) });
    expect(await inState(wrong, "waiting")).to.be.instanceOf(TypeError);
  });

  it("sends nothing on to another origin, but follows a redirect to its own", async () => {
    const elsewhere: unknown[] = [];
    const other = await stage.server(
      createServer((req, res) => {
        elsewhere.push(req.url);
        res.end('{"token":"stolen"}');
      }),
    );
    const server = new Version3Server();
    const place = await stage.server(server.http);
    const redirect = (to: string) => {
      server.token = { status: 307, body: {}, headers: { Location: to } };
    };
    for (const tokenMethod of ["GET", "POST"] as const) {
      redirect(`${other.url}/token`);
      const client = stage.client(place, {
        tokenMethod,
        headers: { "X-Key": "secret" },
        authentication: { password: "secret" },
        backoff: SLOW,
      });
      const reason = await inState(client, "waiting");
      expect(reason).to.be.instanceOf(Error);
      expect(elsewhere).to.deep.equal([]);
    }
    const moved = await stage.server(
      createServer((req, res) => {
        if (req.url === "/socket/token") res.writeHead(307, { Location: "/socket/moved" }).end();
        else res.end('{"token":"token"}');
      }),
    );
    const states: State[] = [];
    const client = stage.client(moved, { sockjs: false, backoff: SLOW });
    client.on("state", (state) => states.push(state));
    // there is no WebSocket, which is what it comes to after the token
    expect((await inState(client, "waiting"))?.message).not.to.include("token");
  });

  it("reads no more of an answer to its token request than a token route gives", async () => {
    let sent = 0;
    const place = await stage.server(
      createServer((_req, res) => {
        res.on("error", () => {});
        const write = () => {
          if (res.destroyed || sent > 50_000_000) return void res.end();
          sent += 100_000;
          if (res.write(" ".repeat(100_000))) setImmediate(write);
          else res.once("drain", write);
        };
        write();
      }),
    );
    const client = stage.client(place, { backoff: SLOW });
    expect((await inState(client, "waiting"))?.message).to.equal("No token: 200");
    expect(sent).to.be.below(50_000_000);
  });

  it("takes 401 for a refusal, as 403", async () => {
    const server = new Version3Server();
    const place = await stage.server(server.http);
    server.token = { status: 401, body: { error: "Log in" } };
    const client = stage.client(place);
    expect(await inState(client, "closed"))
      .to.be.instanceOf(UnauthorizedError)
      .with.property("message", "Log in");
    const asking = stage.client(place, { authentication: () => ({}) });
    expect(await inState(asking, "waiting")).to.include({ code: "connection", status: 401 });
    expect(await inState(asking, "closed")).to.be.instanceOf(UnauthorizedError);
  });

  it("sends its headers with the token request and the WebSocket", async () => {
    const place = await stage.application();
    const seen: unknown[] = [];
    overhear(place.http).on("request", (req) => seen.push(req.headers["x-sample"]));
    overhear(place.http).on("upgrade", (req) => seen.push(req.headers["x-sample"]));
    await stage.client(place, { headers: { "X-Sample": "yes" } }).ready();
    expect(seen).to.deep.equal(["yes", "yes"]);
  });

  it("gives up where the token route refuses it", async () => {
    const place = await stage.application({ options: { authentication: () => false } });
    const client = stage.client(place);
    const call = client.rpc("f");
    const reason = await inState(client, "closed");
    expect(reason)
      .to.be.instanceOf(UnauthorizedError)
      .with.include({ code: "unauthorized", message: "Forbidden" });
    expect(await failure(call)).to.equal(reason);
    expect(await failure(client.ready())).to.equal(reason);
    expect(await failure(client.rpc("f"))).to.equal(reason);
  });

  it("asks once more after a refusal where its authentication has something new", async () => {
    const asked: unknown[] = [];
    const authentication = (req: Request) => {
      asked.push(req.query.password);
      return req.query.password === "right" && { name: "alice" };
    };
    const place = await stage.application({ options: { authentication } });
    const passwords = ["wrong", "right"];
    await stage.client(place, { authentication: () => ({ password: passwords.shift() }) }).ready();
    expect(asked).to.deep.equal(["wrong", "right"]);
    const client = stage.client(place, { authentication: () => ({ password: "wrong" }) });
    expect(await inState(client, "closed")).to.be.instanceOf(UnauthorizedError);
    expect(asked).to.deep.equal(["wrong", "right", "wrong"]);
  });

  it("tries again after every other failure", async () => {
    const server = new Version3Server();
    const place = await stage.server(server.http);
    server.token = { status: 500, body: { error: "Which user?" } };
    let calls = 0;
    const client = stage.client(place, {
      authentication: () => {
        calls++;
        if (calls === 1) throw new Error("Not yet");
        if (calls === 3) server.token = { status: 200, body: "no token" };
        if (calls === 4) server.token = { status: 200, body: { token: "token" } };
        return {};
      },
    });
    const reasons: string[] = [];
    client.on("state", (state, _, reason) => state === "waiting" && reasons.push(reason?.message ?? ""));
    await client.ready();
    expect(reasons).to.deep.equal(["Not yet", "Which user?", "No token: 200"]);
  });

  it("waits as long as the token route asks it to", async () => {
    const server = new Version3Server();
    const place = await stage.server(server.http);
    server.token = { status: 503, body: {}, headers: { "Retry-After": "1" } };
    const client = stage.client(place, { backoff: QUICK });
    await inState(client, "waiting");
    const since = performance.now();
    server.token = { status: 200, body: { token: "token" } };
    await client.ready();
    expect(performance.now() - since).to.be.above(900);
    expect(server.tokenRequests).to.have.length(2);
  });

  it("does not wait for that where it is told to present another token", async () => {
    const server = new Version3Server();
    const place = await stage.server(server.http);
    server.token = { status: 503, body: { error: "Service unavailable" }, headers: { "Retry-After": "30" } };
    const client = stage.client(place);
    const reason = await inState(client, "waiting");
    expect(reason).to.be.instanceOf(ConnectionError).with.include({ status: 503, retryAfter: 30_000 });
    server.token = { status: 200, body: { token: "token" } };
    await client.reauthenticate();
    expect(server.tokenRequests).to.have.length(2);
  });

  it("does not wait for ever for a token, a connection or its authentication", async () => {
    const silent = await stage.server(createServer(() => {}));
    const client = stage.client(silent, { connectTimeout: 20, backoff: SLOW });
    expect((await inState(client, "waiting"))?.message).to.equal("token took over 20 ms");

    const server = new Version3Server();
    const place = await stage.server(server.http);
    server.intercept = () => true;
    const other = stage.client(place, { connectTimeout: 50, backoff: SLOW });
    expect(await inState(other, "waiting")).to.have.property("code", "timeout");
  }).timeout(8_000);

  it("asks its authentication again where that does not answer in time", async () => {
    const place = await stage.application();
    let asked = 0;
    const client = stage.client(place, {
      connectTimeout: 100,
      authentication: () => (++asked === 2 ? {} : new Promise(() => {})),
    });
    const reason = await inState(client, "waiting");
    expect(reason).to.be.instanceOf(ConnectionError);
    expect(reason?.message).to.equal("authentication took over 100 ms");
    await client.ready();
    // on a live connection it is that request's trouble alone
    expect(await failure(client.reauthenticate())).to.have.property("code", "connection");
    expect(client.state).to.equal("open");
  });

  it("is closed for good by a close code that says so, and by no other", async () => {
    const place = await stage.application();
    place.tokenServer.on("authentication", (_socket, _auth, callback) => callback(new Error("no")));
    const refused = stage.client(place);
    expect(await inState(refused, "closed")).to.be.instanceOf(UnauthorizedError);
    place.tokenServer.removeAllListeners("authentication");

    const client = stage.client(place);
    await client.ready();
    place.application.socket().close(4999, "Come back");
    expect(await inState(client, "waiting")).to.include({
      code: "connection",
      status: 4999,
      message: "Come back",
    });
    await happened(client, "reconnect");
  });

  it("does not come back where that is turned off", async () => {
    const place = await stage.application();
    const client = stage.client(place, { reconnect: false });
    await client.ready();
    place.cut();
    expect(await inState(client, "closed")).to.be.instanceOf(ConnectionError);
  });

  it("ends for good, in whatever state it is", async () => {
    const place = await stage.application();
    const early = stage.client(place);
    const ready = early.ready();
    await early.end();
    expect(early.state).to.equal("closed");
    expect(await failure(ready)).to.be.instanceOf(DisconnectedError);
    expect(await failure(early.reauthenticate())).to.be.instanceOf(DisconnectedError);

    const client = stage.client(place);
    await client.ready();
    const gone = new Promise((resolve) => place.tokenServer.once("disconnect", resolve));
    await new Promise<void>((resolve) => client.end(() => resolve()));
    await gone;
    await client.end();
    expect(await failure(client.rpc("f"))).to.include({ code: "disconnected", sent: false });
  });

  it("closes a connection on which its ping is not answered", async () => {
    const server = new Version3Server();
    const place = await stage.server(server.http);
    server.intercept = ({ rpc }) => rpc === "_ping";
    const client = stage.client(place, { ping: 10, pingTimeout: 20 });
    await client.ready();
    expect((await inState(client, "waiting"))?.message).to.equal("No answer");
    await happened(client, "reconnect");
  }).timeout(8_000);

  it("takes a refused ping for a sign of life", async () => {
    const server = new Version3Server();
    const place = await stage.server(server.http);
    const pings = deferred();
    server.intercept = (frame, socket) => {
      if (frame.rpc !== "_ping") return false;
      socket.send(JSON.stringify({ ...frame, error: "Function not found" }));
      if (server.frames.length > 4) pings.resolve();
      return true;
    };
    const client = stage.client(place, { ping: 5, pingTimeout: 1000 });
    await pings.promise;
    expect(client.state).to.equal("open");
  });

  it("takes whatever comes for a sign of life", async () => {
    const server = new Version3Server();
    const place = await stage.server(server.http);
    let pings = 0;
    const enough = deferred();
    const chatter = setInterval(() => {
      for (const socket of server.connections) socket.send('{"channel":"room","message":1}');
    }, 5);
    server.intercept = ({ rpc }) => {
      if (rpc === "_ping" && ++pings === 3) enough.resolve();
      return rpc === "_ping";
    };
    const client = stage.client(place, { ping: 10, pingTimeout: 100 });
    const states: State[] = [];
    client.on("state", (state) => states.push(state));
    await enough.promise;
    expect(states).to.deep.equal(["open"]);
    clearInterval(chatter);
    expect((await inState(client, "waiting"))?.message).to.equal("No answer");
  });

  it("finds an answer that came while the process was busy in time", async () => {
    const place = await stage.application({
      options: {
        socketController: {
          busy: (_auth, _data, callback) => {
            callback(null, "done");
            const end = performance.now() + 150;
            while (performance.now() < end);
          },
        },
      },
    });
    const client = stage.client(place);
    await client.ready();
    expect(await client.rpc("busy", null, { timeout: 100 })).to.equal("done");
  });

  it("takes times of any length", async () => {
    const server = new Version3Server();
    const place = await stage.server(server.http);
    const long = 2 ** 31;
    server.intercept = (frame, socket) => {
      if (frame.rpc !== "auth") return false;
      socket.send(
        JSON.stringify({ ...frame, resp: "success", server: { protocol: 4, expiresIn: 2 * long } }),
      );
      return true;
    };
    for (const time of [long, Infinity]) {
      const client = stage.client(place, {
        ping: time,
        pingTimeout: time,
        connectTimeout: time,
        webSocketTimeout: time,
        callTimeout: time,
        queue: { age: time },
      });
      expect(await client.rpc("echo", 1)).to.equal(1);
      const asked = server.tokenRequests.length;
      await new Promise((resolve) => setTimeout(resolve, 2 * QUICK.max));
      expect(await client.rpc("echo", 1)).to.equal(1);
      expect(server.tokenRequests).to.have.length(asked);
      expect(server.frames.filter(({ rpc }) => rpc === "_ping")).to.deep.equal([]);
    }
  });

  it("gets another identity on the live connection", async () => {
    let name = "alice";
    const place = await stage.application({
      options: {
        authentication: () => name !== "" && { name },
        socketController: { who: (auth: { name?: string }) => auth.name },
      },
    });
    const client = stage.client(place);
    await client.subscribe("room");
    const socket = place.application.socket();
    name = "bob";
    await Promise.all([client.reauthenticate(), client.reauthenticate()]);
    expect(await client.rpc("who")).to.equal("bob");
    expect(place.application.socket()).to.equal(socket);
    expect(Object.keys(socket.channels)).to.deep.equal(["room"]);

    // a logout
    name = "";
    expect(await failure(client.reauthenticate())).to.be.instanceOf(UnauthorizedError);
    expect(client.state).to.equal("closed");
    // a login
    name = "carol";
    await client.reauthenticate();
    expect(await client.rpc("who")).to.equal("carol");
  });

  it("is not closed by a refusal of the user that it had before a login", async () => {
    for (const authentication of [undefined, () => ({ same: true })]) {
      const answers: ((name: string) => void)[] = [];
      let came = deferred();
      const place = await stage.application({
        options: {
          authentication: (_req, callback) => {
            answers.push((name) => callback(null, name !== "" && { name }));
            came.resolve();
          },
          socketController: { who: (auth: { name?: string }) => auth.name },
        },
      });
      const asked = () => {
        came = deferred();
        return came.promise;
      };
      const client = stage.client(place, { backoff: SLOW, authentication });
      await came.promise;
      const login = client.reauthenticate();
      const next = asked();
      answers[0]?.("");
      await next;
      answers[1]?.("alice");
      await login;
      expect(await client.rpc("who")).to.equal("alice");
      // on the live connection, too
      const first = asked();
      const logout = failure(client.reauthenticate());
      await first;
      const again = client.reauthenticate();
      const last = asked();
      answers[2]?.("");
      expect(await logout).to.have.property("message", "Forbidden");
      await last;
      answers[3]?.("bob");
      await again;
      expect(await client.rpc("who")).to.equal("bob");
      expect(answers).to.have.length(4);
    }
  });

  it("asks for one token where the server asks for another several times at once", async () => {
    const server = new Version3Server();
    const place = await stage.server(server.http);
    const client = stage.client(place);
    await client.ready();
    const refresh = '{"internal":true,"command":"refresh","data":{}}';
    for (const socket of server.connections) for (let i = 0; i < 20; i++) socket.send(refresh);
    await client.rpc("echo", 1);
    await client.reauthenticate();
    // at the start, and while one is under way those that are asked for become one more
    expect(server.tokenRequests.length).to.be.within(2, 3);
  });

  it("lets go of everything when it ends while it waits", async () => {
    const place = await stage.server(createServer((_req, res) => res.writeHead(500).end()));
    const client = stage.client(place, { backoff: SLOW });
    await inState(client, "waiting");
    await client.end();
    expect(client.state).to.equal("closed");
    await once(place.http.close(), "close");
  });
});
