import { once } from "node:events";
import { type IncomingHttpHeaders, request } from "node:http";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import express, { type Express, type Request, type RequestHandler } from "express";
import session from "express-session";
import passport from "passport";
import { TokenSocket } from "../../lib/client/index.js";
import type { LogoutOptions } from "../../lib/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { reported, until } from "../support/condition.js";

/** A store of sessions that is as slow as a test wants to have it. */
class Store extends session.MemoryStore {
  /** What a session is written or forgotten after; what it rejects with is the store's error. */
  before: Promise<unknown> = Promise.resolve();

  // passport writes a session without its user before it has it forgotten
  override set(id: string, data: session.SessionData, callback?: (error?: unknown) => void): void {
    this.before.then(() => super.set(id, data, callback), callback);
  }

  override destroy(id: string, callback?: (error?: unknown) => void): void {
    this.before.then(() => super.destroy(id, callback), callback);
  }
}

type Session = Request["session"] & { auth?: unknown; note?: string };

/** What a request is answered with. */
interface Answer {
  readonly status: number | undefined;
  readonly text: string;
  readonly headers: IncomingHttpHeaders;
}

describe("A logout", () => {
  let store: Store;
  let application: Application;
  let options: LogoutOptions | undefined;
  let prepare: (app: Express) => void;
  const clients: TokenSocket[] = [];
  const started: Application[] = [];

  beforeEach(() => {
    store = new Store();
    options = undefined;
    prepare = () => {};
  });

  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.end()));
    await Promise.all(started.splice(0).map((one) => one.stop()));
  });

  const logout: RequestHandler = (req, res, next) => {
    application.tokenServer.logout(req, options).then(() => {
      if (req.session) (req.session as Session).note = "logged out";
      res.end("out");
    }, next);
  };

  const start = async (given: Partial<ApplicationOptions> = {}) => {
    application = await startAnother(given);
  };

  const startAnother = async (given: Partial<ApplicationOptions>) => {
    const made = await Application.start({
      session: null,
      express: () => {
        const app = express();
        app.use(session({ secret: "test", store, resave: false, saveUninitialized: false }));
        return app;
      },
      prepare: (app) => {
        prepare(app);
        app.get("/login", (req, res) => {
          (req.session as Session).auth = { name: "alice" };
          res.end();
        });
        app.get("/note", (req, res) => res.end((req.session as Session).note ?? "none"));
        app.post("/logout", logout);
        app.use(((error, _req, res, _next) =>
          res.status(500).end(error.message)) as express.ErrorRequestHandler);
      },
      ...given,
    });
    started.push(made);
    return made;
  };

  const ask = async (method: string, path: string, cookie?: string): Promise<Answer> => {
    const url = application.url + path;
    const asked = request(url, { method, agent: false, headers: cookie ? { cookie } : {} }).end();
    const [response] = await once(asked, "response");
    return { status: response.statusCode, text: await text(response), headers: response.headers };
  };

  const cookieOf = ({ headers }: Answer) => headers["set-cookie"]?.[0]?.split(";")[0] ?? "";

  const logIn = async (path = "/login") => cookieOf(await ask("GET", path));

  const enter = async (cookie: string, at = application): Promise<TokenSocket> => {
    const client = new TokenSocket({
      host: at.url,
      headers: { Cookie: cookie },
      backoff: { min: 10, max: 20 },
      logger: { error() {}, debug() {} },
    });
    clients.push(client);
    await client.ready();
    return client;
  };

  /** How often a client has come in from now on. */
  const entries = (client: TokenSocket) => {
    const count = { entered: 0 };
    client.on("state", (state) => {
      if (state === "open") count.entered++;
    });
    return count;
  };

  const isOut = (client: TokenSocket) => client.state === "closed";

  /** Logs out while the store takes until all clients have been back; gives the answer. */
  const logOutSlowly = async (cookie: string, all: readonly TokenSocket[]) => {
    let release = () => {};
    store.before = new Promise<void>((resolve) => {
      release = resolve;
    });
    const counts = all.map(entries);
    const answer = ask("POST", "/logout", cookie);
    await until(() => counts.every(({ entered }) => entered > 0));
    release();
    return answer;
  };

  it("keeps everybody of the session out who has come back before the store had forgotten it", async () => {
    await start();
    const cookie = await logIn();
    const all = await Promise.all(Array.from({ length: 5 }, () => enter(cookie)));
    const stranger = await enter(await logIn());
    expect((await logOutSlowly(cookie, all)).text).to.equal("out");
    await until(() => all.every(isOut));
    expect(stranger.state).to.equal("open");
    expect((await ask("GET", "/socket/token", cookie)).status).to.equal(403);
    expect(application.errors).to.deep.equal([]);
  });

  it("does so on all servers", async () => {
    const redis = memoryRedis();
    const shared = { redisClient: redis, pubsubClient: redis };
    await start(shared);
    const other = await startAnother(shared);
    const cookie = await logIn();
    const all = [await enter(cookie, other), await enter(cookie, application)];
    await logOutSlowly(cookie, all);
    await until(() => all.every(isOut));
  });

  it("lets nobody in with a token of the session, also where a request brings that back to life", async () => {
    await start();
    const cookie = await logIn();
    const client = await enter(cookie);
    const id = Object.keys((store as unknown as { sessions: object }).sessions)[0] ?? "";
    const kept = (store as unknown as { sessions: Record<string, string> }).sessions[id] ?? "";
    await ask("POST", "/logout", cookie);
    await until(() => isOut(client));
    // as express-session does at the end of another request that has changed the session
    Object.assign((store as unknown as { sessions: object }).sessions, { [id]: kept });
    const { token } = JSON.parse((await ask("GET", "/socket/token", cookie)).text);
    const wire = await application.open();
    wire.send({ rpc: "auth", token, uuid: "a" });
    expect((await wire.closed).code).to.equal(4001);
    expect(wire.frames).to.deep.equal([]);
  });

  it("refuses tokens whose requests the application's middleware was still working on", async () => {
    let pass = () => {};
    const held = new Promise<void>((resolve) => {
      prepare = (app) =>
        app.use((req, _res, next) => {
          if (req.headers["x-slow"] === undefined) return next();
          pass = next;
          resolve();
        });
    });
    await start({ options: { identify: ({ name }: { name: string }) => name } });
    const headers = { cookie: await logIn(), "x-slow": "yes" };
    const asked = application.token("", headers);
    await held;
    await application.tokenServer.disconnect({ identity: "alice" }, { code: 4100 });
    // later by the clock
    const now = Date.now();
    await until(() => Date.now() > now + 1);
    pass();
    const wire = await application.open();
    wire.send({ rpc: "auth", token: await asked, uuid: "a" });
    expect((await wire.closed).code).to.equal(4100);
    expect(wire.frames).to.deep.equal([]);
  });

  it("closes by the code and the reason that it is given", async () => {
    await start();
    const cookie = await logIn();
    const { token } = JSON.parse((await ask("GET", "/socket/token", cookie)).text);
    const wire = await application.open();
    await wire.request({ rpc: "auth", token });
    options = { code: 4100, reason: "Logged out" };
    await ask("POST", "/logout", cookie);
    expect(await wire.closed).to.deep.equal({ code: 4100, reason: "Logged out" });
  });

  it("gives the request a new session where that is wanted", async () => {
    await start();
    options = { regenerate: true };
    const cookie = await logIn();
    const client = await enter(cookie);
    const answer = await ask("POST", "/logout", cookie);
    await until(() => isOut(client));
    expect((await ask("GET", "/note", cookieOf(answer))).text).to.equal("logged out");
    expect((await ask("GET", "/socket/token", cookie)).status).to.equal(403);
  });

  it("ends what belongs to the session that there is when authentication has answered", async () => {
    await start({
      options: {
        authentication: (req, callback) =>
          req.session.regenerate((error) => {
            (req.session as Session).auth = { name: "alice" };
            callback(error, { name: "alice" });
          }),
      },
    });
    const asked = await ask("GET", "/socket/token", await logIn());
    const wire = await application.open();
    await wire.request({ rpc: "auth", token: JSON.parse(asked.text).token });
    await ask("POST", "/logout", cookieOf(asked));
    expect((await wire.closed).code).to.equal(4001);
  });

  it("closes the sockets where the application has ended the session by itself", async () => {
    prepare = (app) =>
      app.post("/logout", (req, _res, next) => {
        req.session.destroy(next);
      });
    await start();
    const cookie = await logIn();
    const client = await enter(cookie);
    expect((await ask("POST", "/logout", cookie)).text).to.equal("out");
    await until(() => isOut(client));
  });

  it("says so where the store fails, and the user stays in", async () => {
    await start();
    const cookie = await logIn();
    const client = await enter(cookie);
    const count = entries(client);
    store.before = Promise.reject(new Error("The store is away"));
    store.before.catch(() => {});
    expect(await ask("POST", "/logout", cookie)).to.include({ status: 500, text: "The store is away" });
    await reported();
    expect(application.errors.map(({ message }) => message)).to.deep.equal(["The store is away"]);
    await until(() => count.entered > 0);
    expect(client.state).to.equal("open");
  });

  it("ends the session of whoever asks while the server shuts down, and says that others may not have heard", async () => {
    await start();
    const cookie = await logIn();
    await application.tokenServer.shutdown();
    expect((await ask("POST", "/logout", cookie)).text).to.equal("The server has been shut down");
    expect((store as unknown as { sessions: object }).sessions).to.deep.equal({});
  });

  it("is refused for what has no session of express-session, and for no code and no reason", async () => {
    await start();
    const { tokenServer } = application;
    const failure = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);
    for (const req of [
      undefined,
      null,
      {},
      { sessionID: "" },
      { session: {} },
      { sessionID: "a", session: {} },
    ]) {
      expect(await failure(tokenServer.logout(req as never))).to.be.instanceOf(TypeError);
    }
    let ended = 0;
    const req = { sessionID: "a", session: { destroy: () => ended++ } } as never;
    expect(await failure(tokenServer.logout(req, { code: 5 }))).to.be.instanceOf(TypeError);
    expect(await failure(tokenServer.logout(req, { regenerate: true }))).to.be.instanceOf(TypeError);
    expect(ended).to.equal(0);
  });

  describe("with passport", () => {
    const authenticator = new passport.Passport();
    authenticator.serializeUser((user, done) => done(null, (user as { name: string }).name));
    authenticator.deserializeUser((name, done) => done(null, { name }));

    const withPassport = (app: Express) => {
      app.use(authenticator.session());
      app.get("/passport", (req, res, next) => {
        req.logIn({ name: "alice" }, (error) => (error ? next(error) : res.end()));
      });
    };

    const given = { options: { authentication: (req: Request) => req.user ?? false } };

    it("is passport's own, and keeps everybody of the session out", async () => {
      prepare = withPassport;
      await start(given);
      const cookie = await logIn("/passport");
      const all = [await enter(cookie), await enter(cookie)];
      const answer = await logOutSlowly(cookie, all);
      await until(() => all.every(isOut));
      // passport begins another session
      expect((await ask("GET", "/note", cookieOf(answer))).text).to.equal("logged out");
      expect((await ask("GET", "/socket/token", cookie)).status).to.equal(403);
    });

    it("ends the session where that is left to it, as before version 0.6", async () => {
      let calls = 0;
      prepare = (app) => {
        withPassport(app);
        app.use((req, _res, next) => {
          Object.assign(req, { logout: () => calls++ });
          next();
        });
      };
      await start(given);
      const cookie = await logIn("/passport");
      const client = await enter(cookie);
      expect((await ask("POST", "/logout", cookie)).text).to.equal("out");
      await until(() => isOut(client));
      expect(calls).to.equal(1);
      expect((await ask("GET", "/socket/token", cookie)).status).to.equal(403);
    });

    it("says what passport says", async () => {
      prepare = (app) =>
        app.use((req, _res, next) => {
          Object.assign(req, { logout: (callback: (error: Error) => void) => callback(new Error("No")) });
          next();
        });
      await start();
      expect(await ask("POST", "/logout", await logIn())).to.include({ status: 500, text: "No" });
    });
  });
});
