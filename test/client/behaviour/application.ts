import type { Request } from "express";
import {
  type Controller,
  RpcError,
  type RpcFunction,
  type Socket,
  type TokenSocketServer,
} from "../../../lib/index.js";
import { Application, type ApplicationOptions } from "../../support/application.js";
import { deferred } from "./helpers.js";

type Callback = (error?: unknown, value?: unknown) => void;

/** Values by name, made when they are asked for. */
class Named<Value> extends Map<string, Value> {
  readonly #make: () => Value;

  constructor(make: () => Value) {
    super();
    this.#make = make;
  }

  of(name: unknown): Value {
    const value = this.get(String(name)) ?? this.#make();
    this.set(String(name), value);
    return value;
  }
}

/**
 * Starts the server of the suite. Its functions below `test` do to the client that calls them what a server can do
 * to a client, so that a case needs nothing else to bring the server into play.
 */
export async function startApplication(given: ApplicationOptions = {}): Promise<Application> {
  const state = new State();
  const application = await Application.start({
    // a busy machine may need a while from one poll to the next
    // sockjs-client still makes a poll that is given up in the moment before it begins; a heartbeat ends that one
    sockjs: { disconnect_delay: 1000, heartbeat_delay: 2000 },
    ...given,
    options: {
      authentication,
      showIdentity: ({ data }) => data,
      ping: true,
      socketController: { ...FUNCTIONS, test: controls(state, () => application.tokenServer) },
    },
  });
  guard(application.tokenServer, state);
  return application;
}

/** What cases have left with the server, by names that only they know. */
class State {
  /** What waits until it is released. */
  readonly held = new Named(() => deferred());
  /** The calls of `test.hang`, and when their signals have fired. */
  readonly hanging = new Named(() => ({ began: 0, fired: deferred() }));
  readonly counts = new Named(() => ({ counted: 0, isOver: false, over: deferred() }));
  readonly notes = new Named<unknown[]>(() => []);
  readonly locked = new Set<string>();
}

/** The data of the token request say themselves what is to become of it. */
function authentication(req: Request, callback: Callback): void {
  const data = (req.method === "POST" ? req.body : req.query) as Record<string, unknown>;
  if (data.broken) return callback(new Error("Which user?"));
  if (data.refused) return callback(null, false);
  callback(null, { method: req.method, data, sample: req.get("x-sample") });
}

/** Functions as applications have them. */
const FUNCTIONS: Controller = {
  echo: async (_auth, data) => data,
  nothing: async (_auth) => undefined,
  byCallback: (_auth, data, callback) => callback(null, data),
  math: { add: async (_auth, { a, b }: { a: number; b: number }) => a + b },
  fail: {
    text: (_auth, _data, callback) => callback("No"),
    fields: (_auth, _data, callback) => callback([{ field: "name" }]),
    error: (_auth, _data, callback) => callback(Object.assign(new Error("Given"), { code: 7 })),
    meant: async () => {
      throw new RpcError("Sold out", { code: "E_SOLD_OUT", data: { left: 0 } });
    },
    crash: async () => {
      throw new Error("secret");
    },
    later: async function* () {
      yield 1;
      throw new RpcError("Sold out", { code: "E_SOLD_OUT" });
    },
  },
};

/** A function that uses its caller's socket; such a one has to answer by the callback. */
function withSocket<Data = unknown>(
  run: (socket: Socket, data: Data) => unknown,
): RpcFunction<Record<string, unknown>> {
  return (_auth, data: Data, callback, socket) => {
    Promise.resolve(run(socket, data)).then((value) => callback(null, value), callback);
  };
}

interface Message {
  readonly channel: string;
  readonly data: unknown;
}

function controls(state: State, server: () => TokenSocketServer): Controller {
  return {
    me: withSocket(({ sid, protocol, auth }) => ({ sid, protocol, auth })),

    /** Closes the caller's connection. */
    drop: withSocket((socket, code: number) => {
      socket.close(code, "As you wish");
    }),
    /** Lets nothing reach the caller any more, on a connection that stays. */
    deafen: withSocket((socket) => {
      socket.write = () => true;
    }),
    /** Sends the caller texts as they are. */
    write: withSocket((socket, texts: string[]) => {
      for (const text of texts) socket.write(text);
    }),
    /** Calls an action of the caller's, and answers with its `value` or its `error`. */
    call: withSocket(async (socket, { name, data }: { name: string; data?: unknown }) => {
      try {
        return { value: await server().rpc(socket, name, data) };
      } catch (error) {
        const { message, code, data } = error as RpcError;
        return { error: { message, code, data } };
      }
    }),
    /** Waits until a connection has gone. */
    gone: async (_auth, sid: string) => {
      const isThere = () =>
        server()
          .sockets()
          .some((socket) => socket.sid === sid);
      while (isThere()) await new Promise((resolve) => server().once("disconnect", resolve));
    },

    /** Answers when its name is released. */
    wait: async (_auth, name) => {
      await state.held.of(name).promise;
      return "released";
    },
    release: async (_auth, name) => state.held.of(name).resolve(),
    /** Never answers. */
    hang: (_auth, name, _callback, _socket, { signal }) => {
      const call = state.hanging.of(name);
      call.began++;
      signal.addEventListener("abort", () => call.fired.resolve());
    },
    /** How often `hang` was called. */
    began: async (_auth, name) => state.hanging.of(name).began,
    /** Answers when the signal of `hang` has fired. */
    fired: async (_auth, name) => {
      await state.hanging.of(name).fired.promise;
      return "fired";
    },
    /** Streams the numbers up to a last one. */
    count: async function* (_auth: unknown, { name, to }: { name: string; to: number }) {
      const count = state.counts.of(name);
      try {
        for (let number = 1; number <= to; number++) {
          count.counted = number;
          yield number;
        }
      } finally {
        count.isOver = true;
        count.over.resolve();
      }
    },
    /** How far a count has come. */
    counted: async (_auth, name) => {
      const { counted, isOver } = state.counts.of(name);
      return { counted, isOver };
    },
    /** Answers when a count is over. */
    over: async (_auth, name) => {
      await state.counts.of(name).over.promise;
      return "over";
    },
    note: async (_auth, { name, value }: { name: string; value: unknown }) => {
      state.notes.of(name).push(value);
    },
    notes: async (_auth, name) => state.notes.of(name),

    publish: async (_auth, { channel, data }: Message) => server().publish(channel, data),
    broadcast: async (_auth, data) => server().broadcast(data),
    /** Sends the caller alone a message. */
    send: withSocket((socket, { channel, data }: Message) => server().send(socket, channel, data)),
    /** Lets the caller join a channel, or leave it, by the server's doing. */
    join: withSocket((socket, channel: string) => server().subscribe(socket, channel)),
    leave: withSocket((socket, channel: string) => server().unsubscribe(socket, channel)),
    members: async (_auth, channel: string) => server().channelSockets(channel).length,
    /** Lets nobody into a channel from now on. */
    lock: async (_auth, channel: string) => {
      state.locked.add(channel);
    },
  };
}

/** Channels say by their names how they are guarded. */
function guard(server: TokenSocketServer, { held, notes, locked }: State): void {
  const isHeld = (channel: string) => channel.startsWith("held");
  server.on("rpc", async (_socket, { rpc }) => rpc !== "forbidden");
  server.on("subscribe", async (_socket, { channel }) => {
    if (isHeld(channel)) await held.of(channel).promise;
    return !channel.startsWith("secret") && !locked.has(channel);
  });
  server.on("unsubscribe", async (_socket, { channel }) => {
    if (channel.startsWith("sticky")) throw new RpcError("Stay");
    return true;
  });
  server.on("publish", async (_socket, { channel }) => {
    if (channel.startsWith("read-only")) throw new RpcError("Read only");
    if (isHeld(channel)) await held.of(channel).promise;
    return true;
  });
  server.on("broadcast", async (_socket, { data }) => data !== "refused");
  server.on("subscribed", (_socket, { channel }) => notes.of(channel).push("joined"));
  server.on("authentication", async (socket: Socket, auth) => {
    const { version } = auth.data as { version?: string };
    return version === undefined || Number(version) === (await server.rpc(socket, "version"));
  });
}

/** Waits until the server has no connection any more. */
export async function allGone({ tokenServer }: Application): Promise<void> {
  while (tokenServer.sockets().length > 0) {
    await new Promise((resolve) => tokenServer.once("disconnect", resolve));
  }
}
