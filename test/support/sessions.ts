import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { RedisStore } from "connect-redis";
import express, { type Express, type Request, type RequestHandler } from "express";
import session, { type Store } from "express-session";
import { getIronSession, type IronSession } from "iron-session";
import passport from "passport";
import { Strategy as LocalStrategy } from "passport-local";
import {
  type Expiring,
  expiring,
  type TokenSocketServer,
  type TokenSocketServerOptions,
} from "../../lib/index.js";
import type { NodeRedis } from "./node-redis.js";

/** Its types say of all requests' sessions that they are its own. */
const cookieSession = createRequire(import.meta.url)("cookie-session") as (options: object) => RequestHandler;

/** Who has logged in, and by which login where the application keeps these. */
export interface User {
  readonly name: string;
  readonly login?: string;
}

const SECRET = "a secret of at least thirty-two characters";

/** The password of everybody. */
export const PASSWORD = "open sesame";

/** The needs of an application with logins. */
export interface LoginParts {
  /** How long a session's cookie lasts, in milliseconds; as long as the browser where it is undefined. */
  readonly life: number | undefined;
  readonly redis: NodeRedis;
  readonly tokenServer: () => TokenSocketServer;
}

/** A way to keep sessions, with a login and a logout at `/login` and `/logout`. */
export interface SessionKind {
  readonly name: string;
  /** Whether the server knows of a session by itself; otherwise it is in the cookie alone. */
  readonly isKept: boolean;
  readonly options: Pick<TokenSocketServerOptions<User>, "authentication" | "identify">;
  mount(app: Express, parts: LoginParts): void;
}

const form = express.urlencoded();

function ofExpressSession({ life }: LoginParts, store: Store): RequestHandler {
  const cookie = { maxAge: life ?? false } as session.CookieOptions;
  return session({ secret: SECRET, store, resave: false, saveUninitialized: false, rolling: true, cookie });
}

function sessionOf(req: Request): Partial<IronSession<object>> & { auth?: User; expiresAt?: number } {
  return req.session as object;
}

/** Answers 401 unless the password is right. */
const checkPassword: RequestHandler = (req, res, next) => {
  if (req.body.password === PASSWORD) next();
  else res.sendStatus(401);
};

/** Lets a session end with the browser unless "remember me" is ticked. */
function remember(req: Request): void {
  if (req.body.remember === "no") Object.assign(req.session.cookie, { expires: false });
}

const logOut =
  ({ tokenServer }: LoginParts): RequestHandler =>
  (req, res, next) => {
    tokenServer()
      .logout(req)
      .then(() => res.sendStatus(204), next);
  };

function expressSession(name: string, makeStore: (redis: NodeRedis) => Store): SessionKind {
  return {
    name,
    isKept: true,
    options: {},
    mount(app, parts) {
      app.use(ofExpressSession(parts, makeStore(parts.redis)));
      app.post("/login", form, checkPassword, (req, res, next) => {
        req.session.regenerate((error) => {
          if (error) return next(error);
          sessionOf(req).auth = { name: req.body.username };
          remember(req);
          res.sendStatus(204);
        });
      });
      app.post("/logout", logOut(parts));
      app.get("/session-id", (req, res) => res.send(req.sessionID));
    },
  };
}

const PASSPORT: SessionKind = {
  name: "passport, with connect-redis",
  isKept: true,
  options: {
    authentication: (req: Request) => req.user && expiring(req.user as User, req.session),
  },
  mount(app, parts) {
    const authenticator = new passport.Passport();
    authenticator.use(
      new LocalStrategy((name, password, done) => done(null, password === PASSWORD && { name })),
    );
    authenticator.serializeUser((user, done) => done(null, (user as User).name));
    authenticator.deserializeUser((name, done) => done(null, { name } as User));
    app.use(ofExpressSession(parts, new RedisStore({ client: parts.redis })));
    app.use(authenticator.session());
    app.post("/login", form, authenticator.authenticate("local"), (req, res) => {
      remember(req);
      res.sendStatus(204);
    });
    app.post("/logout", logOut(parts));
    app.get("/session-id", (req, res) => res.send(req.sessionID));
  },
};

/** What an application has to do where the session is in the cookie alone; `save` and `forget` are about that cookie. */
function inCookie(
  name: string,
  authentication: "auth" | ((req: Request) => Expiring<User> | undefined),
  sessions: (parts: LoginParts) => RequestHandler,
  save: (req: Request) => unknown,
  forget: (req: Request) => unknown,
): SessionKind {
  return {
    name,
    isKept: false,
    options: { authentication, identify: ({ name }) => name },
    mount(app, parts) {
      const logins = new Set<string | undefined>();
      app.use(sessions(parts));
      app.use((req, _res, next) => {
        if (!logins.has(sessionOf(req).auth?.login)) delete sessionOf(req).auth;
        next();
      });
      app.post("/login", form, checkPassword, async (req, res) => {
        const login = randomUUID();
        logins.add(login);
        sessionOf(req).auth = { name: req.body.username, login };
        if (parts.life !== undefined) sessionOf(req).expiresAt = Date.now() + parts.life;
        await save(req);
        res.sendStatus(204);
      });
      app.post("/logout", async (req, res) => {
        const { auth } = sessionOf(req);
        logins.delete(auth?.login);
        await forget(req);
        if (auth) await parts.tokenServer().disconnect({ identity: auth.name });
        res.sendStatus(204);
      });
      app.post("/forget", async (req, res) => {
        await forget(req);
        res.sendStatus(204);
      });
      app.post("/wrong-logout", (req, res) => {
        parts
          .tokenServer()
          .logout(req)
          .catch((error: Error) => res.status(500).send(error.message));
      });
    },
  };
}

const COOKIE_SESSION = inCookie(
  "cookie-session",
  "auth",
  ({ life }) => cookieSession({ secret: SECRET, maxAge: life }),
  () => {},
  (req) => Object.assign(req, { session: null }),
);

const IRON_SESSION = inCookie(
  "iron-session",
  (req) => {
    const { auth, expiresAt } = sessionOf(req);
    return auth && expiring(auth, expiresAt);
  },
  () => async (req, res, next) => {
    const options = { password: SECRET, cookieName: "iron", cookieOptions: { secure: false } };
    Object.assign(req, { session: await getIronSession(req, res, options) });
    next();
  },
  (req) => sessionOf(req).save?.(),
  (req) => sessionOf(req).destroy?.(),
);

export const SESSION_KINDS: readonly SessionKind[] = [
  expressSession("express-session", () => new session.MemoryStore()),
  expressSession("express-session, with connect-redis", (client) => new RedisStore({ client })),
  PASSPORT,
  COOKIE_SESSION,
  IRON_SESSION,
];
