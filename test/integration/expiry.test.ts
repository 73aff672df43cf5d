import { once } from "node:events";
import { expect } from "chai";
import express, { type Request } from "express";
import session from "express-session";
import sinon from "sinon";
import { type AuthenticationFunction, expiring } from "../../lib/index.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { express4 } from "../support/express4.js";

const HOUR = 3_600_000;

/** The expiry that the newest token request of a test was answered with, as a client of protocol 4 sees it. */
async function expiresIn(application: Application): Promise<unknown> {
  const token = await application.token();
  const client = await application.open();
  const { server } = await client.request({ rpc: "auth", token, protocol: 4 });
  return (server as { expiresIn?: unknown }).expiresIn;
}

describe("an identity that ends", () => {
  let application: Application;

  const start = async (options: ApplicationOptions = {}) => {
    application = await Application.start(options);
    return application.tokenServer;
  };

  afterEach(() => application.stop());

  const withSession = (change: (cookie: Request["session"]["cookie"]) => void): ApplicationOptions => ({
    prepare: (app) =>
      app.use((req, _res, next) => {
        change(req.session.cookie);
        next();
      }),
  });

  const authentications: Record<string, AuthenticationFunction> = {
    "by the callback, as a number": (_req, callback) =>
      callback(null, { name: "alice" }, { expiresAt: Date.now() + HOUR }),
    "by the callback, as a date": (_req, callback) =>
      callback(null, { name: "alice" }, { expiresAt: new Date(Date.now() + HOUR) }),
    "by an async result": async (_req) => expiring({ name: "alice" }, Date.now() + HOUR),
    "by a result, for the session's data": (_req) => expiring(true, new Date(Date.now() + HOUR)),
  };
  for (const [how, authentication] of Object.entries(authentications)) {
    it(`may be given ${how}`, async () => {
      await start({ options: { authentication } });
      expect(await expiresIn(application)).to.be.within(HOUR - 5000, HOUR);
      expect(application.socket().auth).to.have.property(how.endsWith("data") ? "auth" : "name");
    });
  }

  it("ends with the session that it is of, by the name of a property or another truthy value", async () => {
    for (const authentication of ["auth", () => true]) {
      for (const change of [
        (cookie: { maxAge?: unknown }) => Object.assign(cookie, { maxAge: HOUR }),
        (cookie: { expires?: unknown }) => Object.assign(cookie, { expires: new Date(Date.now() + HOUR) }),
      ]) {
        await start({ options: { authentication }, ...withSession(change) });
        expect(await expiresIn(application)).to.be.within(HOUR - 5000, HOUR);
        await application.stop();
      }
    }
  });

  for (const version of [5, 4] as const) {
    describe(`of a session of express-session, on Express ${version}`, () => {
      /** An application whose sessions have such a cookie, and a cookie of one in which alice has logged in. */
      const logIn = async (cookie: session.CookieOptions | object, store = new session.MemoryStore()) => {
        const app = version === 4 ? express4() : express();
        app.use(
          session({ secret: "s", resave: false, saveUninitialized: false, store, rolling: true, cookie }),
        );
        app.get("/login", (req, res) => {
          Object.assign(req.session, { auth: { name: "alice" } });
          res.end();
        });
        await start({ express: () => app, session: null });
        const [given = ""] = (await fetch(`${application.url}/login`)).headers.getSetCookie();
        return given.split(";")[0] ?? "";
      };
      const ask = async (cookie: string) => {
        const response = await fetch(`${application.url}/socket/token`, { headers: { cookie } });
        const { token } = (await response.json()) as { token?: string };
        if (!token) return response.status;
        const client = await application.open();
        const { server } = await client.request({ rpc: "auth", token, protocol: 4 });
        return (server as { expiresIn?: unknown }).expiresIn;
      };

      for (const cookie of [{ expires: false }, { maxAge: false }, { maxAge: null }, { expires: null }, {}]) {
        it(`has no end where the cookie is ${JSON.stringify(cookie)}`, async () => {
          expect(await ask(await logIn(cookie))).to.equal(undefined);
        });
      }

      it("ends as long after the token request as the session's cookie lasts, since that begins anew", async () => {
        const store = new session.MemoryStore();
        const cookie = await logIn({ maxAge: HOUR }, store);
        const sessions = (store as unknown as { sessions: Record<string, string> }).sessions;
        for (const [id, json] of Object.entries(sessions)) {
          const kept = JSON.parse(json);
          // of a request half an hour ago
          kept.cookie.expires = new Date(Date.now() + HOUR / 2);
          sessions[id] = JSON.stringify(kept);
        }
        expect(await ask(cookie)).to.be.within(HOUR - 5000, HOUR);
      });

      it("has ended where the session has", async () => {
        expect(await ask(await logIn({ maxAge: -1 }))).to.equal(403);
      });
    });
  }

  it("does not end with a session that it is not of, nor with one that has no end", async () => {
    await start({
      options: { authentication: () => ({ name: "alice" }) },
      ...withSession((cookie) => Object.assign(cookie, { maxAge: HOUR })),
    });
    expect(await expiresIn(application)).to.equal(undefined);
    await application.stop();
    await start();
    expect(await expiresIn(application)).to.equal(undefined);
  });

  it("is for protocol 4 to see, and no longer than a timer can wait", async () => {
    await start({ options: { authentication: () => expiring({}, Number.MAX_SAFE_INTEGER) } });
    expect(await expiresIn(application)).to.equal(2 ** 31 - 1);
    const client = await application.open();
    const reply = await client.request({ rpc: "auth", token: await application.token(), uuid: "a" });
    expect(reply).to.deep.equal({ rpc: "auth", uuid: "a", resp: "success" });
  });

  it("gets no token where it has ended, or is none", async () => {
    const now = Date.now();
    const clock = sinon.useFakeTimers({ now, toFake: ["Date"] });
    try {
      await start();
      for (const ended of [expiring({}, now - 1), expiring({}, now), expiring(null, now + HOUR)]) {
        application.tokenServer.authentication = () => ended;
        expect((await fetch(`${application.url}/socket/token`)).status).to.equal(403);
      }
      expect(application.errors).to.deep.equal([]);
    } finally {
      clock.restore();
    }
  });

  it("gets no token where its end is no time, which is reported", async () => {
    await start();
    for (const expiresAt of [Number.NaN, Infinity, new Date(Number.NaN), "tomorrow", {}]) {
      application.tokenServer.authentication = (_req, callback) =>
        callback(null, {}, { expiresAt: expiresAt as number });
      const response = await fetch(`${application.url}/socket/token`);
      expect([response.status, await response.json()]).to.deep.equal([500, { error: "Internal error" }]);
    }
    expect(application.errors).to.have.length(5);
    expect(application.errors[0]).to.be.instanceOf(TypeError);
  });

  it("does not come in with a token that was asked for in time", async () => {
    await start({ options: { authentication: () => expiring({}, Date.now() + 20) } });
    const token = await application.token();
    const client = await application.open();
    await new Promise((resolve) => setTimeout(resolve, 25));
    client.send({ rpc: "auth", token, uuid: "a" });
    expect(await client.closed).to.deep.equal({ code: 4410, reason: "Identity expired" });
    expect(client.frames).to.deep.equal([]);
  });

  for (const protocol of [3, 4]) {
    it(`closes a connection of protocol ${protocol} when the grace is over, and not before`, async () => {
      const server = await start({
        options: {
          authentication: () => expiring({}, Date.now() + 500),
          limits: { expiryGrace: 40 },
          socketController: { f: () => 1 },
        },
      });
      const since = Date.now();
      const client = await application.connect("websocket", { protocol });
      expect(await client.request({ rpc: "f" })).to.include({ resp: 1 });
      expect(await client.closed).to.deep.equal({ code: 4410, reason: "Identity expired" });
      expect(Date.now() - since).to.be.at.least(540);
      expect(server.sockets()).to.deep.equal([]);
    });

    it(`lives on by a new token on a connection of protocol ${protocol}, with channels and calls`, async () => {
      let answer = (_value: unknown) => {};
      let life = 1000;
      const server = await start({
        options: {
          authentication: () => expiring({ name: "alice" }, Date.now() + life),
          limits: { expiryGrace: 100 },
          socketController: {
            slow: (_auth, _data, callback) => {
              answer = (value) => callback(null, value);
            },
          },
        },
      });
      // of those that do not refresh the last one is closed when the others would have been
      const client = await application.connect("websocket", { protocol });
      await client.subscribe("room");
      client.send({ rpc: "slow", uuid: "slow" });
      const late = await application.connect();
      life = HOUR;
      const token = await application.token();
      expect(await client.request({ rpc: "auth", token, protocol })).to.include({ resp: "success" });
      expect((await late.closed).code).to.equal(4410);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(server.channelSockets("room")).to.have.length(1);
      answer("done");
      expect(await client.take((frame) => frame.uuid === "slow")).to.include({ resp: "done" });
    });
  }

  it("ends also where no timer has run for as long as the clock says, as on a machine that was suspended", async () => {
    const server = await start({
      options: { authentication: () => expiring({}, Date.now() + HOUR), socketController: { f: () => 1 } },
    });
    const [idle, busy] = [await application.connect(), await application.connect()];
    const closed = once(server, "disconnect");
    const now = Date.now;
    const stub = sinon.stub(Date, "now").callsFake(() => now() + 23 * HOUR);
    try {
      // no frame is served any more
      busy.send({ rpc: "f", uuid: "late" });
      await closed;
      for (const client of [busy, idle]) {
        expect(await client.closed).to.deep.equal({ code: 4410, reason: "Identity expired" });
        expect(client.frames).to.deep.equal([]);
      }
    } finally {
      stub.restore();
    }
  });

  it("ends in time where the clock is set back", async () => {
    await start({
      options: { authentication: () => expiring({}, Date.now() + 300), limits: { expiryGrace: 1 } },
    });
    const client = await application.connect();
    const now = Date.now;
    const stub = sinon.stub(Date, "now").callsFake(() => now() - HOUR);
    try {
      expect((await client.closed).code).to.equal(4410);
    } finally {
      stub.restore();
    }
  });

  it("may be followed by one that does not end", async () => {
    let authentication: () => unknown = () => expiring({}, Date.now() + 1000);
    const server = await start({
      options: { authentication: () => authentication(), limits: { expiryGrace: 30 } },
    });
    const client = await application.connect();
    const other = await application.connect();
    authentication = () => ({});
    await client.request({ rpc: "auth", token: await application.token() });
    await other.closed;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(server.sockets()).to.have.length(1);
    const gone = once(server, "disconnect");
    await client.end();
    await gone;
  });
});
