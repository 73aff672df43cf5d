import type { Request, Response } from "express";
import type {
  Callback,
  Controller,
  Routes,
  TokenSocketServer,
  TokenSocketServerOptions,
} from "../../../lib/index.js";

/** An object that throws when one of its properties is read. */
const throwing = (name: string | symbol) =>
  Object.defineProperty({}, name, {
    get() {
      throw new Error("read on purpose");
    },
  });

/** An object that throws whatever is done with it. */
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};

const socketController = Object.defineProperty(
  {
    echo: (_auth: unknown, data: unknown) => data,
    slow: async (_auth: unknown, data: unknown) => {
      await new Promise((resolve) => setImmediate(resolve));
      return data;
    },
    callback: (_auth: unknown, data: unknown, callback: Callback) => setImmediate(callback, null, data),
    twice: (_auth: unknown, _data: unknown, callback: Callback) => {
      callback(null, 1);
      callback(null, 2);
    },
    refuse: (_auth: unknown, data: unknown, callback: Callback) => callback(data ?? "no"),
    throws: (_auth: unknown) => {
      throw new Error("thrown on purpose");
    },
    rejects: async (_auth: unknown) => {
      throw new Error("rejected on purpose");
    },
    noJson: (_auth: unknown) => 1n,
    guarded: (_auth: unknown) => "never",
    stream: async function* (_auth: unknown, data: unknown) {
      yield data;
      yield data;
    },
    iterator: async (_auth: unknown, data: unknown, callback: Callback) => {
      setImmediate(callback, null, data);
      return throwing(Symbol.asyncIterator);
    },
    thenable: (_auth: unknown, data: unknown, callback: Callback) => {
      setImmediate(callback, null, data);
      return throwing("then");
    },
    revoked: (_auth: unknown) => revoked(),
    nameless: (_auth: unknown) => Promise.reject(throwing("name")),
    reason: (_auth: unknown) => Promise.reject(revoked()),
    nested: { echo: (_auth: unknown, data: unknown) => data },
  },
  "broken",
  {
    get() {
      throw new Error("broken on purpose");
    },
  },
) as unknown as Controller;

const routes: Routes = {
  handler: (req: Request, res: Response) => {
    res.json({ body: req.body });
  },
  handlers: [
    (_req: Request, _res: Response, next: () => void) => {
      setImmediate(next);
    },
    (req: Request, res: Response) => {
      res.send(String(req.body));
    },
  ],
  failing: (req: Request, _res: Response, next: (error: unknown) => void) => {
    setImmediate(next, typeof req.body === "string" ? revoked() : throwing("status"));
  },
  silent: (_req: Request, _res: Response, next: () => void) => next(),
};

/** Whom the query names; the fuzzers are all of one name. */
const authentication: TokenSocketServerOptions["authentication"] = (req) => ({
  name: String(req.query.name ?? "fuzzer"),
});

/** What a server has that is fuzzed: functions of all kinds, and a filter. */
export const fuzzedOptions: TokenSocketServerOptions = {
  socketController,
  routes,
  authentication,
  identify: ({ name }) => name as string,
  ping: true,
  debug: true,
  filter: (_socket, channel, message) => (channel === "b" ? null : [message]),
};

/** Lets guards decide, in each of the ways in which they may. */
export function addGuards(tokenServer: TokenSocketServer): void {
  tokenServer.on("subscribe", (_socket, { channel }, callback) => callback(null, channel !== "private"));
  tokenServer.on("subscribe", async (_socket, { channel }) => {
    if (channel === "b") await new Promise((resolve) => setImmediate(resolve));
    return true;
  });
  tokenServer.on("unsubscribe", (_socket, { channel }, callback) =>
    setImmediate(callback, null, channel !== "a"),
  );
  tokenServer.on("publish", (_socket, _request) => true);
  tokenServer.on("broadcast", (_socket, { data }, callback) => callback(data === false ? "no" : null, true));
  tokenServer.on("rpc", (_socket, { rpc }) => rpc !== "guarded");
}
