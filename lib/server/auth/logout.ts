import type { Request } from "express";
import type { DisconnectOptions } from "./selectors.js";

/** Options of a logout: how sockets are closed, and what becomes of the session. */
export interface LogoutOptions extends DisconnectOptions {
  /** Whether the request gets a new session, for instance for a message, instead of none. Default false. */
  regenerate?: boolean | undefined;
}

/** The part of a session of express-session that ends it. */
interface Session {
  destroy(callback: (error?: unknown) => void): unknown;
  regenerate(callback: (error?: unknown) => void): unknown;
}

/** The parts of a request that express-session and passport add. */
interface LoggedIn {
  readonly sessionID?: unknown;
  readonly session?: Partial<Session> | null;
  readonly logout?: unknown;
}

/** The id of a request's session; throws a `TypeError` for a request that has none. */
export function sessionIdOf(req: Request): string {
  const { sessionID, session } = Object(req) as LoggedIn;
  const isSession = !session || typeof session.destroy === "function";
  if (typeof sessionID === "string" && sessionID !== "" && isSession) return sessionID;
  throw new TypeError(
    "req must be a request with a session of express-session; others are logged out by disconnect({ identity })",
  );
}

/** Ends a request's session; resolves when its store has forgotten it. */
export async function endSession(req: Request, isRenewed: boolean): Promise<void> {
  const request = req as unknown as LoggedIn;
  const { sessionID } = request;
  // the application may have ended it by itself
  if (!request.session) return;
  await logOutOfPassport(request);
  const { session, sessionID: current } = request;
  // passport 0.6 and later has ended the session, and begun another one
  if (!session || current !== sessionID) return;
  const method = isRenewed ? "regenerate" : "destroy";
  await called((callback) => {
    if (typeof session[method] !== "function") throw new TypeError(`req.session has no ${method}()`);
    return session[method](callback);
  });
}

/** Before version 0.6 passport's `logout` took no callback. */
async function logOutOfPassport(request: LoggedIn): Promise<void> {
  const { logout } = request;
  if (typeof logout !== "function") return;
  if (logout.length === 0) Reflect.apply(logout, request, []);
  else await called((callback) => Reflect.apply(logout, request, [callback]));
}

/** Resolves when a function has called back; rejects with the error that it gives or throws. */
function called(act: (callback: (error?: unknown) => void) => unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    act((error) => (error ? reject(error) : resolve()));
  });
}
