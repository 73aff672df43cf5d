import { expect } from "chai";
import express, { type Request } from "express";
import sockjs from "sockjs";
import { z } from "zod";
import { type Callback, type Controller, expiring, procedure, TokenSocketServer } from "../../lib/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { Application } from "../support/application.js";

/** True where two types are the same; what is wrong here does not compile. */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? Known<A> : false) : false;
/** `any` is the same as everything. */
type Known<T> = 0 extends 1 & T ? false : true;
function same<A, B>(_: Same<A, B>): void {}

interface User {
  id: number;
  name: string;
}

const channels = { news: z.object({ at: z.coerce.date() }), "room:*": z.object({ text: z.string() }) };

/** A server that is never attached. */
const parts = () => [express(), memoryRedis(), sockjs.createServer()] as const;

describe("A typed server", () => {
  it("may be used by the functions that it is given, without an annotation", async () => {
    const inline = new TokenSocketServer(...parts(), {
      socketController: {
        say: (_auth, data) => inline.publish("news", data),
        nested: { count: async () => inline.sockets().length },
      },
    });
    const apart = {
      say: (_auth: User, data: unknown) => ofApart.publish("news", data),
      count: async () => ofApart.sockets().length,
    };
    const ofApart = new TokenSocketServer<User>(...parts(), { socketController: apart });
    const satisfying = {
      say: (auth, data) => ofSatisfying.publish(auth.name, data),
      given: procedure(({ auth, input, server }) => server.publish(auth.name, input)),
    } satisfies Controller<User>;
    const ofSatisfying = new TokenSocketServer<User>(...parts(), { socketController: satisfying });

    const servers = [inline, ofApart, ofSatisfying];
    for (const server of servers) expect(server.socketController).to.have.property("say");
    await Promise.all(servers.map((server) => server.shutdown()));
  });

  it("knows what goes over its channels", async () => {
    const application = await Application.start({ options: { channels } });
    const server = application.tokenServer as unknown as TokenSocketServer<User, typeof channels>;
    try {
      const seen: unknown[] = [];
      server.on("publish", (socket, { channel, data }) => {
        same<typeof channel, "news" | `room:${string}`>(true);
        if (channel === "news") same<typeof data, { at: Date }>(true);
        else same<typeof data, { text: string }>(true);
        seen.push("at" in data && data.at.getTime());
        return socket.auth.name === "alice";
      });
      const published = new Promise<string>((resolve) => {
        server.on("published", (_socket, { channel, data }) => {
          if (channel === "news") resolve(data.at);
          else same<typeof data, { readonly text: string }>(true);
        });
      });
      const client = await application.connect();
      const [socket] = server.sockets();
      if (!socket) throw new Error("there is a socket");
      await server.subscribe(socket, "room:7");
      await client.take();
      client.send({ rpc: "_publish", req: { channel: "news", data: { at: 0 } } });
      expect(await published).to.equal("1970-01-01T00:00:00.000Z");
      expect(seen).to.deep.equal([0]);
      await server.publish("room:7", { text: "hello" });
      expect(await client.take()).to.deep.equal({ channel: "room:7", message: { text: "hello" } });
      expect(server.channelSockets("room:7")).to.deep.equal([socket]);
    } finally {
      await application.stop();
    }
  });
});

/** What must compile; it is never run. */
function accepted(
  server: TokenSocketServer<User, typeof channels>,
  untyped: TokenSocketServer,
  take: (server: TokenSocketServer<User>) => void,
): void {
  take(server);
  const narrow = (given: unknown) => given instanceof TokenSocketServer && given.sockets();
  class Sub extends TokenSocketServer<User, typeof channels> {}
  take(new Sub(...parts(), { channels }));
  const controller = {
    handled: async (_auth, _data, _callback, _socket, { server }) => take(server),
    given: procedure(async ({ server, socket }) => {
      take(server);
      narrow(server);
      same<typeof server, TokenSocketServer<User>>(true);
      const answer: undefined = server.rpc(socket, "ask", {}, () => {});
      const { text } = await server
        .client<{ ask: (data: { id: number }) => { text: string } }>(socket)
        .ask({ id: 1 });
      await server.publish("any", text);
      server.on("subscribe", ({ auth }) => auth.name === "alice");
      server.authentication = () => answer;
      server.socketController = controller;
    }),
  } satisfies Controller<User>;
  server.on("subscribe", (socket) => socket.auth.id === 1);
  server.on("subscribe", async (socket) => socket.auth.id === 1);
  server.on("rpc", (_socket, _request, callback) => callback(null, true));
  server.on("rpc", async (_socket, _request, callback: Callback) => {
    callback(null, true);
  });
  server.once("rpc", (...args) => args[2](null, true));
  server.on("rpc", (..._args: unknown[]) => {});
  server.on("rpc", () => {
    throw new Error("no");
  });
  server.on("rpc", (socket): unknown => socket.data);
  server.on("authentication", async () => {});
  server.on("disconnect", (socket) => {
    same<typeof socket.auth, User | undefined>(true);
  });
  server.authentication = async (req) => (req.query.id ? { id: 1, name: "Ada" } : undefined);
  server.authentication = (req: Request & { user?: User }, callback) => callback(null, req.user);
  server.authentication = () => expiring({ id: 1, name: "Ada" }, Date.now() + 1000);
  server.authentication = () => true;
  untyped.authentication = (req): unknown => req.query;
  for (const event of ["subscribe", "publish"] as const) server.on(event, (_socket: unknown) => true);
  new TokenSocketServer<User, typeof channels>(...parts(), {
    channels,
    filter(socket, channel, message) {
      same<typeof socket.auth, User>(true);
      if (channel === "news") same<typeof message, { at: string }>(true);
      else same<typeof message, { text: string }>(true);
      return message;
    },
  });
  untyped.on("publish", (_socket, { channel, data }) => {
    same<typeof channel, string>(true);
    same<typeof data, unknown>(true);
    return true;
  });
  void untyped.publish("any", 1);
}

/** What must not compile; it is never run either. */
async function mistakes(
  server: TokenSocketServer<User, typeof channels>,
  untyped: TokenSocketServer<User>,
): Promise<void> {
  // @ts-expect-error no such channel
  await server.publish("rooms", { text: "" });
  // @ts-expect-error no such message
  await server.publish("room:1", { at: new Date() });
  // @ts-expect-error no such message
  for (const socket of server.channelSockets("room:1")) server.send(socket, "room:1", { txt: "" });
  // @ts-expect-error no such channel
  await server.unsubscribeAll("rooms");
  // @ts-expect-error it answers nothing
  server.on("subscribe", (_socket) => {});
  // @ts-expect-error it answers nothing
  server.once("subscribe", async (_socket) => {});
  // @ts-expect-error it never answers
  server.prependListener("rpc", () => {});
  // @ts-expect-error it may not have authenticated
  server.on("disconnect", (socket) => socket.auth.id);
  // @ts-expect-error no such event
  server.on("subscription", () => true);
  // @ts-expect-error a server of these channels is none of others
  void (server satisfies TokenSocketServer<User, { other: number }>);
  // @ts-expect-error a server of no known channels is none of some
  void (untyped satisfies typeof server);
  // @ts-expect-error no such user
  server.authentication = async (req) => ({ id: req.query.id, name: "Ada" });
  // @ts-expect-error no such user
  server.authentication = (_req, callback) => callback(null, { id: 1 });
  // @ts-expect-error no such user
  server.authentication = () => expiring({ id: 1 }, 1);
  server.on("publish", (_socket, request) => {
    // @ts-expect-error no such message
    if (request.channel === "news") request.data = { text: "" };
    return true;
  });
}

void accepted;
void mistakes;
