import { type } from "arktype";
import { expect } from "chai";
import type { NextFunction, Request, Response } from "express";
import * as v from "valibot";
import { z } from "zod";
import {
  type CallData,
  type CallItem,
  type CallResult,
  type ChannelInput,
  type ChannelMessage,
  type HistoryPage,
  InvalidRequestError,
  type LossReason,
  type MessageInfo,
  NotFoundError,
  type RouteFunctions,
  type TokenSocket,
} from "../../lib/client/index.js";
import { type Callback, type Controller, procedure, type Routes } from "../../lib/index.js";
import { failure, type Place, Stage } from "./support.js";

/** True where two types are the same; what is wrong here does not compile. */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? Known<A> : false) : false;
/** `any` is the same as everything. */
type Known<T> = 0 extends 1 & T ? false : true;
function same<A, B>(_: Same<A, B>): void {}

interface User {
  name: string;
}

const controller = {
  user: {
    read: procedure({
      input: z.object({ id: z.number(), at: z.coerce.date().optional() }),
      output: z.object({ name: z.string(), born: z.date() }),
      handler: async ({ input }) => ({ name: `user ${input.id}`, born: new Date(0) }),
    }),
    rename: procedure({
      input: v.object({ name: v.pipe(v.string(), v.minLength(3)) }),
      handler: async ({ input }) => input.name.length,
    }),
    age: procedure({
      input: type({ years: "number > 0" }),
      output: type({ days: "number" }),
      handler: ({ input }) => ({ days: input.years * 365 }),
    }),
  },
  plain: {
    twice: (_auth: User, data: { n: number }) => data.n * 2,
    dates: async () => ({ at: new Date(0), method: () => 1, list: [new Date(0), undefined] as const }),
    byCallback: (
      _auth: User,
      data: { x: string },
      callback: (error: Error | null, value?: { y: string }) => void,
    ) => callback(null, { y: data.x }),
    withSocket: async (_auth, _data: unknown, _callback, socket) => socket.channels,
    eitherWay: async (
      _auth: User,
      data: { late: boolean },
      callback: (error: Error | null, value?: string) => void,
    ) => {
      if (data.late) callback(null, "late");
      return 1;
    },
    perhaps: async (_auth: User, data: { n?: number }, callback: Callback) => {
      if (data.n === undefined) callback(null, "none");
      return data.n;
    },
    odd: (_auth: User) => ({
      map: new Map([["a", 1]]),
      set: new Set([1]),
      pattern: /a/,
      promise: Promise.resolve(1),
      error: Object.assign(new Error("gone"), { code: 7 }),
      rows: [new Map<string, number>(), { name: "Ada", message: "hi" }] as const,
    }),
    byAnyCallback: (_auth: User, _data: unknown, callback: Callback) => callback(null, 1),
    nothing: (_auth: User) => {},
    optional: (_auth: User, data?: { a?: number }) => data?.a ?? 0,
  },
  feed: {
    ticks: procedure({
      input: v.object({ to: v.number() }),
      async *handler({ input }) {
        for (let i = 1; i <= input.to; i++) yield i;
      },
    }),
    checked: procedure({
      output: type({ n: "number" }),
      async *handler() {
        yield { n: 1 };
      },
    }),
    plain: async function* (_auth: User, data: { to: number }) {
      for (let i = 1; i <= data.to; i++) yield { at: new Date(0), i };
    },
  },
} satisfies Controller<User>;

const channels = { "room:*": z.object({ text: z.string() }), news: v.object({ n: v.number() }) };

/** Types alone will do. */
interface Messages {
  "room:*": { text: string };
}

describe("A typed client", () => {
  let stage: Stage;
  let place: Place;
  let socket: TokenSocket<typeof controller, typeof channels>;

  beforeEach(async () => {
    stage = new Stage();
    place = await stage.application({ options: { socketController: controller as unknown as Controller } });
    socket = stage.client(place) as unknown as typeof socket;
  });
  afterEach(() => stage.clear());

  it("calls procedures with schemas of zod, valibot and arktype, as functions", async () => {
    const read = await socket.call.user.read({ id: 7 });
    same<typeof read, { name: string; born: string }>(true);
    expect(read).to.deep.equal({ name: "user 7", born: "1970-01-01T00:00:00.000Z" });

    const length = await socket.call.user.rename({ name: "Ada" });
    same<typeof length, number>(true);
    expect(length).to.equal(3);

    const age = await socket.call.user.age({ years: 2 });
    same<typeof age, { days: number }>(true);
    expect(age).to.deep.equal({ days: 730 });
  });

  it("gets the issues of each of these libraries, with their paths", async () => {
    const calls = {
      id: socket.call.user.read({ id: "7" as unknown as number }),
      name: socket.call.user.rename({ name: "Al" }),
      years: socket.call.user.age({ years: -1 }),
    };
    for (const [path, call] of Object.entries(calls)) {
      const error = await failure(call);
      expect(error).to.be.instanceOf(InvalidRequestError);
      expect(error).to.include({ message: "Invalid input", code: "invalid" });
      const { issues } = error.data as { issues: { message: string; path: string[] }[] };
      expect(issues.map((issue) => issue.path)).to.deep.equal([[path]]);
      expect(issues[0]?.message).to.be.a("string").and.not.be.empty;
    }
  });

  it("calls by path just as well", async () => {
    const read = await socket.rpc("user.read", { id: 7 }, { timeout: 1000 });
    same<typeof read, { name: string; born: string }>(true);
    expect(read.name).to.equal("user 7");
    const value = await new Promise<number | undefined>((resolve, reject) => {
      socket.rpc("plain.twice", { n: 2 }, (error, result) => (error ? reject(error) : resolve(result)));
    });
    expect(value).to.equal(4);
  });

  it("calls plain functions, whose results are as JSON makes them", async () => {
    const twice = await socket.call.plain.twice({ n: 2 }, { timeout: 1000 });
    same<typeof twice, number>(true);
    expect(twice).to.equal(4);

    const dates = await socket.call.plain.dates();
    same<typeof dates, { at: string; list: readonly [string, null] }>(true);
    expect(dates).to.deep.equal({
      at: "1970-01-01T00:00:00.000Z",
      list: ["1970-01-01T00:00:00.000Z", null],
    });

    const answered = await socket.call.plain.byCallback({ x: "a" });
    same<typeof answered, { y: string }>(true);
    expect(answered).to.deep.equal({ y: "a" });

    const channels = await socket.call.plain.withSocket();
    same<typeof channels, Record<string, true>>(true);
    expect(channels).to.deep.equal({});

    const either = await socket.call.plain.eitherWay({ late: true });
    same<typeof either, string | number>(true);
    expect(either).to.equal("late");

    const perhaps = await socket.call.plain.perhaps({ n: 2 });
    same<typeof perhaps, unknown>(true);
    expect(perhaps).to.equal(2);

    const something = await socket.call.plain.byAnyCallback();
    same<typeof something, unknown>(true);
    expect(something).to.equal(1);

    const nothing = await socket.call.plain.nothing();
    same<typeof nothing, null>(true);
    expect(nothing).to.equal(null);

    const optional = await socket.call.plain.optional();
    same<typeof optional, number>(true);
    expect(optional).to.equal(0);
  });

  it("gets maps, sets, promises and errors as JSON makes them", async () => {
    const odd = await socket.call.plain.odd();
    type Empty = Record<never, never>;
    same<
      typeof odd,
      {
        map: Empty;
        set: Empty;
        pattern: Empty;
        promise: Empty;
        error: { code: number };
        rows: readonly [Empty, { readonly name: "Ada"; readonly message: "hi" }];
      }
    >(true);
    expect(odd).to.deep.equal({
      map: {},
      set: {},
      pattern: {},
      promise: {},
      error: { code: 7 },
      rows: [{}, { name: "Ada", message: "hi" }],
    });
    // @ts-expect-error there is no size
    void odd.map.size;
    // @ts-expect-error there is no message
    void odd.error.message;
  });

  it("calls routes, by the bodies that their handlers name", async () => {
    const routes = {
      notes: {
        add: (req: Request<unknown, { id: number }, { text: string }>, res: Response<{ id: number }>) =>
          void res.status(201).json({ id: req.body.text.length }),
        list: [
          (_req, _res, next) => next(),
          (_req: Request, res: Response<{ at: Date }[]>) => void res.json([{ at: new Date(0) }]),
          (_error: unknown, _req: Request, _res: Response, next: NextFunction) => next(),
        ] as const,
      },
      any: (req, res) => void res.json(req.body),
    } satisfies Routes;
    place.tokenServer.routes = routes;
    const calling = stage.client(place) as unknown as TokenSocket<
      typeof controller & RouteFunctions<typeof routes>
    >;
    const added = await calling.call.notes.add({ text: "hello" });
    same<(typeof added)["id" | "_code"], number>(true);
    expect(added).to.include({ id: 5, _code: 201 });
    const type: unknown = added._headers["content-type"];
    expect(type).to.match(/json/);
    const list = await calling.rpc("notes.list");
    same<typeof list, { at: string }[]>(true);
    expect(list).to.deep.equal([{ at: "1970-01-01T00:00:00.000Z" }]);
    const any = await calling.call.any(1);
    same<typeof any, unknown>(true);
    expect(any).to.equal(1);
    // @ts-expect-error wrong data
    calling.call.notes.add({ txt: "" }).catch(() => {});
    expect(await calling.call.plain.twice({ n: 2 })).to.equal(4);
  });

  it("reads streams, whose items are as JSON makes them", async () => {
    const all: unknown[] = [];
    for await (const tick of socket.call.feed.ticks({ to: 2 })) {
      same<typeof tick, number>(true);
      all.push(tick);
    }
    for await (const item of socket.call.feed.checked()) {
      same<typeof item, { n: number }>(true);
      all.push(item.n);
    }
    for await (const item of await socket.rpc("feed.plain", { to: 1 })) {
      same<typeof item, { at: string; i: number }>(true);
      all.push(item.at);
    }
    expect(all).to.deep.equal([1, 2, 1, "1970-01-01T00:00:00.000Z"]);
  });

  it("publishes on declared channels, and reads them", async () => {
    const messages = socket.channel("room:7");
    const next = messages.next();
    await socket.subscribe("room:7");
    await socket.publish("room:7", { text: "hello" });
    const { value } = await next;
    same<typeof value, { text: string } | undefined>(true);
    expect(value).to.deep.equal({ text: "hello" });
  });

  it("reads histories of declared channels, whose messages are as JSON makes them", async () => {
    const options = { since: null, last: 1, timeout: 5000 };
    await socket.subscribe("room:7", options);
    socket.subscribe("news", (error) => error, { last: 2 });
    const position = socket.position("news");
    same<typeof position, string | undefined>(true);
    const read = () => socket.history("room:7", { last: 2, before: null });
    same<Awaited<ReturnType<typeof read>>["messages"][number]["message"], { text: string }>(true);
    socket.history("news", (_error, page) => same<typeof page, HistoryPage<{ n: number }> | undefined>(true));
    const loop = socket.channel("news", { last: 1, onLost: "throw" });
    same<typeof loop, AsyncIterableIterator<{ n: number }, undefined>>(true);
    socket.on("message", (_channel, _message, info) => same<typeof info, MessageInfo | undefined>(true));
    socket.on("recovered", (_channel, { messages }) => same<typeof messages, number>(true));
    socket.on("lost", (_channel, { messages, reason }) => {
      same<typeof messages, number | null>(true);
      same<typeof reason, LossReason>(true);
    });
    // this server keeps none
    expect(await failure(read())).to.have.property("code", "no_history");
    // @ts-expect-error there is no such channel
    expect(socket.position("hall")).to.equal(undefined);
    // @ts-expect-error a position is a text
    expect(await failure(socket.subscribe("news", { since: 7 }))).to.be.instanceOf(TypeError);
    // @ts-expect-error it continues or throws
    expect(() => socket.channel("news", { onLost: "ignore" })).to.throw(TypeError);
  });

  it("is called by the server as functions, too, of its own types", async () => {
    const actions = {
      ui: {
        confirm: ({ text }: { text: string }) => ({ sure: text.length > 3, at: new Date(0) }),
        close: () => {},
        ask: (_data: { text: string }, callback: (error: unknown, answer?: number) => void) =>
          callback(null, 7),
      },
    };
    socket.register(actions);
    await socket.ready();
    const client = place.tokenServer.client<typeof actions>(place.application.socket());
    const answer = await client.ui.confirm({ text: "Delete it?" }, { timeout: 5000 });
    same<typeof answer, { sure: boolean; at: string }>(true);
    expect(answer).to.deep.equal({ sure: true, at: "1970-01-01T00:00:00.000Z" });
    const nothing = await client.ui.close();
    same<typeof nothing, undefined>(true);
    expect(nothing).to.equal(undefined);
    const number = await client.ui.ask({ text: "?" });
    same<typeof number, number>(true);
    expect(number).to.equal(7);
    // @ts-expect-error no such function
    expect(await failure(client.ui.open({}))).to.be.instanceOf(NotFoundError);
    // @ts-expect-error wrong data
    client.ui.confirm({ txt: "" }).catch(() => {});
    // @ts-expect-error wrong result
    void answer.wrong;
  });

  it("has no `then`, so that await does not call one", async () => {
    const { user } = await (async () => socket.call)();
    expect(await (await (async () => user)()).rename({ name: "Ada" })).to.equal(3);
  });
});

/** What the exported types say of the server's. */
const told: [
  Same<CallData<typeof controller, "plain.twice">, { n: number }>,
  Same<CallResult<typeof controller, "user.read">, { name: string; born: string }>,
  Same<CallItem<typeof controller, "feed.ticks">, number>,
  Same<ChannelInput<typeof channels, "news">, { n: number }>,
  Same<ChannelMessage<typeof channels, "room:1">, { text: string }>,
] = [true, true, true, true, true];

void told;

/** What must compile; it is never run either. */
function anyClient(
  socket: TokenSocket<typeof controller, typeof channels>,
  take: (socket: TokenSocket) => void,
): TokenSocket<Pick<typeof controller, "plain">, Pick<typeof channels, "news">> {
  take(socket);
  return socket;
}

void anyClient;

interface Shown {
  id: number;
  since: Date;
}

/** Likewise. */
function knownIdentity(
  socket: TokenSocket<typeof controller, typeof channels, Shown>,
  take: (socket: TokenSocket) => void,
): TokenSocket<typeof controller, typeof channels> {
  take(socket);
  same<typeof socket.identity, { id: number; since: string } | undefined>(true);
  socket.on("identity", (identity, previous) => {
    same<typeof identity, { id: number; since: string } | undefined>(true);
    same<typeof previous, typeof identity>(true);
  });
  same<TokenSocket["identity"], unknown>(true);
  // @ts-expect-error it has no name
  void socket.identity?.name;
  return socket;
}

void knownIdentity;

const presence = {
  "room:*": {
    info: ({ name }: User) => ({ name, at: new Date(0) }),
    state: z.object({ typing: z.boolean().default(false) }),
  },
  lobby: { events: "count" },
} as const;

/** What must compile, and what must not; it is never run. */
async function members(
  socket: TokenSocket<typeof controller, typeof channels, Shown, typeof presence>,
  untyped: TokenSocket,
  take: (socket: TokenSocket) => void,
): Promise<void> {
  take(socket);
  const room = socket.presence("room:1");
  for (const { info, state, ...rest } of room.members) {
    same<typeof info, { name: string; at: string } | null>(true);
    same<typeof state, { typing: boolean } | null>(true);
    same<typeof rest, { readonly id: string; readonly since: number; readonly sockets: number }>(true);
  }
  for (const event of ["join", "leave", "update"] as const) room.on(event, ({ info }) => info?.name);
  await room.set({});
  // @ts-expect-error no such state
  await room.set({ typing: "yes" });
  // @ts-expect-error no such channel
  socket.presence("hall");
  const [first] = socket.presence("lobby").members;
  same<NonNullable<typeof first>["info"], unknown>(true);
  await untyped.presence("anywhere").set({ anything: true });
  await untyped.presence<{ name: string }, { typing: boolean }>("room").set({ typing: true });
  // @ts-expect-error nobody hears of that
  room.on("come", () => {});
}

void members;

/** What must not compile; it is never run. */
async function mistakes(
  socket: TokenSocket<typeof controller, typeof channels>,
  untyped: TokenSocket,
  named: TokenSocket<typeof controller, Messages>,
  overlapping: TokenSocket<typeof controller, { "*": boolean; "room:*": number; "room:1": string }>,
  closed: TokenSocket<typeof controller, { "*": never; news: string }>,
): Promise<void> {
  // a "*" declares each name, a mistyped one, too
  await closed.subscribe("newz");
  for await (const message of closed.channel("newz")) same<typeof message, never>(true);
  // @ts-expect-error there is no such message
  await closed.publish("newz", "late");
  // the whole name counts first, then the longest beginning, as on the server
  await overlapping.publish("other", true);
  await overlapping.publish("room:2", 2);
  await overlapping.publish("room:1", "one");
  // @ts-expect-error that of a shorter beginning
  await overlapping.publish("room:2", true);
  // @ts-expect-error that of a beginning
  await overlapping.publish("room:1", 2);
  for await (const message of overlapping.channel("room:2")) same<typeof message, number>(true);
  // @ts-expect-error no such function
  await socket.call.user.reed({ id: 1 });
  // @ts-expect-error no such function
  await socket.rpc("user.reed", { id: 1 });
  // @ts-expect-error not a function
  await socket.rpc("user", {});
  // @ts-expect-error not a function
  await socket.call.user();
  // @ts-expect-error wrong data
  await socket.call.user.read({ id: "1" });
  // @ts-expect-error wrong data
  await socket.rpc("user.read", { id: "1" });
  // @ts-expect-error no data
  await socket.call.user.read();
  // @ts-expect-error no data
  await socket.rpc("user.read");
  // @ts-expect-error wrong result
  (await socket.call.user.read({ id: 1 })).age;
  // @ts-expect-error wrong result
  (await socket.rpc("user.read", { id: 1 })).age;
  // @ts-expect-error a date is text when it arrives
  (await socket.call.plain.dates()).at.getTime();
  // @ts-expect-error no stream
  for await (const item of socket.call.plain.twice({ n: 1 })) void item;
  // @ts-expect-error wrong items
  for await (const item of socket.call.feed.ticks({ to: 1 })) item.at;
  // @ts-expect-error wrong option
  await socket.call.plain.twice({ n: 1 }, { timout: 1 });
  // @ts-expect-error wrong message
  await socket.publish("room:1", { text: 1 });
  // @ts-expect-error no such channel
  await socket.publish("other", { text: "1" });
  // @ts-expect-error no such channel
  await socket.subscribe("other");
  // @ts-expect-error no such channel
  socket.channel("other");
  // @ts-expect-error nothing is known of it
  untyped.call.user;
  // @ts-expect-error the other server has more functions
  void (untyped satisfies typeof socket);
  // @ts-expect-error the other server has other messages
  void (named satisfies typeof socket);
  // @ts-expect-error wrong message
  await named.publish("room:1", { txt: "1" });

  const result = await untyped.rpc("any.name", 1);
  same<typeof result, unknown>(true);
  const number = await untyped.rpc<number>("any.name", 1);
  same<typeof number, number>(true);
  for await (const item of untyped.rpc("any.name")) same<typeof item, unknown>(true);
  for await (const message of untyped.channel<{ a: 1 }>("any")) same<typeof message, { a: 1 }>(true);
  for await (const message of untyped.channel("any")) same<typeof message, unknown>(true);
  for await (const message of named.channel("room:2")) same<typeof message, { text: string }>(true);
  await untyped.publish("any", Symbol.iterator);
}

void mistakes;
