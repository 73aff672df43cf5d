import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import * as library from "../../lib/index.js";
import { compile, installPackage, ROOT } from "./installed-package.js";
import { blocksOf } from "./markdown.js";

const run = promisify(execFile);

describe("the package as it is installed", () => {
  let project: string;
  let manifest: { name: string; exports: Record<string, unknown>; files: string[] };

  before(async function () {
    this.timeout(300_000);
    project = await installPackage();
    manifest = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  });

  /** Runs a module or, with the suffix `cjs`, a script in the project; gives the JSON that it prints. */
  async function evaluate(code: string, suffix: "mjs" | "cjs"): Promise<unknown> {
    const file = join(project, `evaluated.${suffix}`);
    await writeFile(file, code);
    const { stdout } = await run(process.execPath, [file], { cwd: project });
    return JSON.parse(stdout);
  }

  it("gives the class to a named and to the default import", async () => {
    const found = await evaluate(
      `import byDefault, { TokenSocketServer } from "node-token-sockjs";
      console.log(JSON.stringify([byDefault === TokenSocketServer, typeof byDefault, byDefault.name]));`,
      "mjs",
    );
    expect(found).to.deep.equal([true, "function", "TokenSocketServer"]);
  });

  it("gives the class to require()", async () => {
    const found = await evaluate(
      `const Required = require("node-token-sockjs");
      const { TokenSocketServer, RpcError } = require("node-token-sockjs");
      console.log(JSON.stringify([
        Required === TokenSocketServer,
        Required.name,
        new RpcError("no") instanceof Error,
      ]));`,
      "cjs",
    );
    expect(found).to.deep.equal([true, "TokenSocketServer", true]);
  });

  it("gives the same class to import and to require()", async () => {
    const found = await evaluate(
      `const Required = require("node-token-sockjs");
      import("node-token-sockjs").then((library) => console.log(library.default === Required));`,
      "cjs",
    );
    expect(found).to.equal(true);
  });

  it("has each exported value as a static property of the class", () => {
    const { TokenSocketServer } = library;
    const values = Object.entries(library).filter(
      ([name]) => name !== "default" && name !== "module.exports",
    );
    expect(values.map(([name]) => name)).to.include.members(["TokenSocketServer", "RpcError"]);
    for (const [name, value] of values) expect(TokenSocketServer, name).to.have.own.property(name, value);
  });

  it("lets every subpath be imported and required", async () => {
    const subpaths = Object.keys(manifest.exports).map((path) => join(manifest.name, path));
    expect(subpaths).to.include.members(["node-token-sockjs", "node-token-sockjs/memory"]);
    const scripts = subpaths.filter((path) => !path.endsWith(".json"));
    const required = await evaluate(
      `console.log(JSON.stringify(${JSON.stringify(subpaths)}.map((path) => typeof require(path))));`,
      "cjs",
    );
    const imported = await evaluate(
      `const modules = await Promise.all(${JSON.stringify(scripts)}.map((path) => import(path)));
      console.log(JSON.stringify(modules.map((module) => Object.keys(module).length > 0)));`,
      "mjs",
    );
    expect(required).to.deep.equal(
      subpaths.map((path) => (path === "node-token-sockjs" ? "function" : "object")),
    );
    // that one is imported for what it does
    expect(imported).to.deep.equal(scripts.map((path) => !path.endsWith("/presence")));
  });

  it("gives browsers, and what takes CommonJS alone, the same names", async () => {
    const found = await evaluate(
      `import { createRequire } from "node:module";
      const dist = "./node_modules/node-token-sockjs/dist/";
      const require = createRequire(import.meta.url);
      const names = (module) => Object.keys(module).filter((name) => name !== "module.exports").sort();
      const entries = { client: "client/index", memory: "memory", react: "react/index" };
      const alike = [];
      for (const [name, path] of Object.entries(entries)) {
        const all = names(await import(dist + path + ".js"));
        alike.push(String(names(require(dist + "cjs/" + name + ".cjs"))) === String(all));
        if (name !== "client") continue;
        alike.push(String(names(await import(dist + "client/web.js"))) === String(all));
        alike.push(String(names(require(dist + "cjs/client-web.cjs"))) === String(all));
      }
      const Server = require(dist + "cjs/index.cjs");
      const { default: _default, ...library } = await import(dist + "index.js");
      alike.push(names(library).every((name) => Object.hasOwn(Server, name)), Server.name);
      console.log(JSON.stringify(alike));`,
      "mjs",
    );
    expect(found).to.deep.equal([true, true, true, true, true, true, "TokenSocketServer"]);
  });

  it("lets nothing else be reached", async () => {
    const found = await evaluate(
      `import("node-token-sockjs/dist/server/hub.js").catch((error) => console.log(JSON.stringify(error.code)));`,
      "mjs",
    );
    expect(found).to.equal("ERR_PACKAGE_PATH_NOT_EXPORTED");
  });

  it("loads the application's Express, and neither SockJS nor a Redis client", async () => {
    const found = await evaluate(
      `require("node-token-sockjs");
      require("node-token-sockjs/memory");
      const names = ["express", "sockjs", "redis", "ioredis"];
      console.log(JSON.stringify(names.filter((name) => require.resolve(name) in require.cache)));`,
      "cjs",
    );
    expect(found).to.deep.equal(["express"]);
  });

  it("has documents whose links lead to files that are packed, too", async () => {
    const root = join(project, "node_modules", manifest.name);
    const documents = (await readdir(root, { recursive: true })).filter((file) => file.endsWith(".md"));
    expect(documents).to.include.members(["README.md", "SECURITY.md", "CHANGELOG.md", "docs/README.md"]);
    const dead: string[] = [];
    for (const document of documents) {
      const text = await readFile(join(root, document), "utf8");
      for (const [, target = ""] of text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
        if (/^https?:/.test(target)) continue;
        if (!existsSync(join(root, dirname(document), target))) dead.push(`${document}: ${target}`);
      }
    }
    expect(dead).to.deep.equal([]);
  });

  it("contains each file that its manifest names", async () => {
    const files = await evaluate(
      `import { existsSync } from "node:fs";
      const files = ${JSON.stringify(manifest.files)};
      console.log(JSON.stringify(files.filter((file) => !existsSync("node_modules/node-token-sockjs/" + file))));`,
      "mjs",
    );
    expect(files).to.deep.equal([]);
  });

  describe("in TypeScript", () => {
    const STRICT = {
      compilerOptions: {
        target: "es2023",
        module: "nodenext",
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        verbatimModuleSyntax: true,
        skipLibCheck: false,
        types: ["node"],
        noEmit: true,
      },
    };

    /** What most projects have. */
    const LENIENT = {
      compilerOptions: {
        ...STRICT.compilerOptions,
        exactOptionalPropertyTypes: false,
        noUncheckedIndexedAccess: false,
      },
    };

    /** Writes files that belong together. */
    async function write(files: Record<string, string>, how: object): Promise<string> {
      const folder = join(project, "types");
      await mkdir(folder, { recursive: true });
      const settings = { ...how, files: Object.keys(files) };
      await writeFile(join(folder, "tsconfig.json"), JSON.stringify(settings));
      for (const [name, code] of Object.entries(files)) await writeFile(join(folder, name), code);
      return folder;
    }

    /** Type-checks files together; gives the complaints of each. */
    async function check(files: Record<string, string>, how: object): Promise<Record<string, string[]>> {
      const folder = await write(files, how);
      const include = Object.keys(files);
      const complaints = (await compile(folder, ["-p", ".", "--pretty", "false"]))
        .split(/\n(?=\S)/)
        .filter((text) => /^\S.*error TS/.test(text));
      const belongs = (line: string, name: string) => line.startsWith(`${name}(`);
      const others = complaints.filter((line) => !include.some((name) => belongs(line, name)));
      expect(others).to.deep.equal([]);
      return Object.fromEntries(
        include.map((name) => [name, complaints.filter((line) => belongs(line, name))]),
      );
    }

    for (const [name, how] of [
      ["with the strictest settings", STRICT],
      ["with `strict` alone", LENIENT],
    ] as const) {
      describe(name, () => {
        let complaints: Record<string, string[]>;

        before(async function () {
          this.timeout(300_000);
          // together, since most of it is to check what all of them import
          const mistakes = Object.entries(MISTAKES).map(([name, { code }]) => [nameOf(name), COMMON + code]);
          complaints = await check({ ...ACCEPTED, ...DOCUMENTED, ...Object.fromEntries(mistakes) }, how);
        });

        it("accepts an application and a client that name the public types", () => {
          for (const name of Object.keys(ACCEPTED)) expect(complaints[name], name).to.deep.equal([]);
        });

        it("accepts what docs/typed-calls.md shows", () => {
          expect(Object.keys(DOCUMENTED)).to.include.members(["controller.ts", "server.ts", "client.ts"]);
          for (const name of Object.keys(DOCUMENTED)) expect(complaints[name], name).to.deep.equal([]);
        });

        it("finds mistakes", () => {
          for (const [name, { complaint }] of Object.entries(MISTAKES)) {
            expect(complaints[nameOf(name)], name).to.have.length(1);
            expect(complaints[nameOf(name)]?.[0], name).to.match(complaint);
          }
        });
      });
    }

    it("is quick to check with 200 procedures and 200 calls", async function () {
      this.timeout(300_000);
      /** How often the compiler works a type out: unlike a time, it is the same everywhere. */
      const effort = async (files: Record<string, string>) => {
        const folder = await write(files, {
          compilerOptions: { ...STRICT.compilerOptions, skipLibCheck: true },
        });
        const text = await compile(folder, ["-p", ".", "--extendedDiagnostics"]);
        expect(text).to.not.include("error");
        return Number(/^Instantiations:\s+(\d+)/m.exec(text)?.[1]);
      };
      const procedures = await effort({ "controller.ts": manyProcedures() });
      const byName = { "controller.ts": manyProcedures(), "calls.ts": manyCalls("call") };
      const byPath = { "controller.ts": manyProcedures(), "calls.ts": manyCalls("rpc") };
      for (const files of [byName, byPath]) expect((await effort(files)) / procedures).to.be.below(4);
    });
  });
});

const GROUPS = Array.from({ length: 20 }, (_, index) => `group${index}`);
const NAMES = Array.from({ length: 10 }, (_, index) => `read${index}`);

function manyProcedures(): string {
  const procedures = NAMES.map(
    (name) => `${name}: procedure({
      input: z.object({ id: z.number(), name: z.string().optional() }),
      output: z.object({ ${name}: z.number(), at: z.date(), tags: z.array(z.string()) }),
      handler: async ({ input }) => ({ ${name}: input.id, at: new Date(), tags: [] }),
    })`,
  );
  return `import { type Controller, procedure } from "node-token-sockjs";
    import { z } from "zod";
    export const controller = {
      ${GROUPS.map((group) => `${group}: { ${procedures.join(",\n")} }`).join(",\n")}
    } satisfies Controller<{ name: string }>;`;
}

function manyCalls(kind: "call" | "rpc"): string {
  const calls = GROUPS.flatMap((group) =>
    NAMES.map((name) => {
      const call =
        kind === "call" ? `call.${group}.${name}({ id: 1 })` : `rpc("${group}.${name}", { id: 1 })`;
      return `all.push((await socket.${call}).${name});`;
    }),
  );
  return `import type { TokenSocket } from "node-token-sockjs/client";
    import type { controller } from "./controller.js";
    export async function run(socket: TokenSocket<typeof controller>, all: number[]): Promise<void> {
      ${calls.join("\n")}
    }`;
}

const COMMON = `
import express from "express";
import sockjs from "sockjs";
import {
  type Controller,
  procedure,
  RpcError,
  type StandardSchema,
  TokenSocketServer,
  type TokenSocketServerOptions,
} from "node-token-sockjs";
import { TokenSocket } from "node-token-sockjs/client";
import { memoryRedis } from "node-token-sockjs/memory";

interface User { id: number; name: string }

const app = express();
const redis = memoryRedis();
const sockjsServer = sockjs.createServer();
const tokenServer = new TokenSocketServer<User>(app, redis, sockjsServer, { pubsubClient: redis });
declare const idSchema: StandardSchema<{ id: string }, { id: number }>;
export { app, idSchema, procedure, redis, RpcError, sockjsServer, TokenSocket, tokenServer };
export type { Controller, TokenSocketServerOptions };
`;

const APPLICATION = `
import { createClient } from "redis";
import { Redis } from "ioredis";
import express, { type NextFunction, type Request, type Response } from "express";
import sockjs from "sockjs";
import byDefault, {
  AbortedError,
  CallError,
  call,
  DisconnectedError,
  procedure,
  RemoteError,
  RpcError,
  TimeoutError,
  TokenSocketServer,
} from "node-token-sockjs";
import type {
  AnySocket,
  AuthenticationFunction,
  AuthenticationResult,
  Callback,
  CallContext,
  CallData,
  CallOptions,
  CallResult,
  ChannelMessage,
  CheckedProcedureDefinition,
  Controller,
  Filter,
  FunctionContext,
  GuardAnswer,
  GuardEvents,
  Identity,
  Limits,
  Logger,
  Middleware,
  MiddlewareCall,
  PendingSocket,
  Procedure,
  ProcedureCall,
  ProcedureDefinition,
  ProcedureInput,
  ProcedureMaker,
  ProcedureResult,
  RedisClient,
  Route,
  RouteFunctions,
  RouteHandler,
  Routes,
  RpcErrorOptions,
  RpcFunction,
  ServerEvents,
  Socket,
  SockJSConnection,
  SockJSServer,
  StandardIssue,
  StandardResult,
  StandardSchema,
  TestCall,
  TokenSocketServerOptions,
  VerifiedToken,
} from "node-token-sockjs";
import { type MemoryRedis, memoryRedis } from "node-token-sockjs/memory";

interface User { id: number; name: string }

const add: RpcFunction<User> = (auth, data: { a: number; b: number }) => data.a + data.b + auth.id;
const later: RpcFunction<User> = (auth, data, callback, socket) => callback(null, [auth.name, data, socket.sid]);
const refuse: RpcFunction<User> = async () => {
  const options: RpcErrorOptions = { code: "E_QUOTA", data: { left: 0 } };
  throw new RpcError("No more", options);
};

const issue: StandardIssue = { message: "Expected an id", path: ["id", { key: 0 }] };
const validate = (value: unknown): StandardResult<{ id: number }> => (value ? { value: { id: 1 } } : { issues: [issue] });
const schema: StandardSchema<{ id: string }, { id: number }> = { "~standard": { version: 1, vendor: "x", validate } };
const maker: ProcedureMaker<User> = procedure<User>();
const handler = ({ input, auth }: ProcedureCall<{ id: number }, User>) => input.id + auth.id;
const definition: ProcedureDefinition<User, { id: string }, { id: number }, number> = { input: schema, handler };
const checked: CheckedProcedureDefinition<User, { id: string }, { id: number }, { id: string }, { id: number }> = {
  input: schema,
  output: schema,
  handler: async ({ input }) => ({ id: String(input.id) }),
};
const read: Procedure<User, { id: string }, number> = maker(definition);
export const input: ProcedureInput<typeof read> = { id: "7" };
export const result: ProcedureResult<typeof read> = 7;
const context = (auth: User, _data: unknown, _callback: Callback, _socket: Socket<User>, context: FunctionContext<User>) => {
  const { signal }: CallContext = context;
  return [signal.aborted, auth.id, context.server.sockets().length];
};
const numbered: Middleware<User, unknown, { n: number }> = ({ next }: MiddlewareCall<User>) => next({ n: 1 });
const answered = maker.use(numbered)({ handler: ({ n, auth }) => n + auth.id });
const test: TestCall<User, unknown> = { auth: { id: 1, name: "x" } };
export const tested: Promise<number> = call(answered, test);
export const aliases: [CallData<{ read: typeof read }, "read">, CallResult<{ read: typeof read }, "read">] = [input, result];
export const heard: ChannelMessage<{ "room:*": { at: Date } }, "room:1"> = { at: "" };
export const verified: VerifiedToken<User> = { auth: { id: 1, name: "x" }, expiresAt: 1 };
export const authenticated: AuthenticationResult<User> = false;
export const guardAnswer: GuardAnswer = 1;
const controller: Controller<User> = { context, answered, math: { add }, later, refuse, read, checked: procedure(checked) };

const authenticate: AuthenticationFunction<User> = async (req) => ({ id: Number(req.query.id), name: "x" });
const authenticateBack: AuthenticationFunction<User> = (req: Request & { user?: User }, callback) => {
  callback(null, req.user);
};
const filter: Filter<User> = (socket, channel, message: { secret?: string }) =>
  socket.auth.id === 1 && channel === "room" ? message : { ...message, secret: undefined };
const list: RouteHandler = (req: Request<{ id: string }>, res) => res.json({ id: req.params.id });
const route: Route = [list, (error: unknown, _req: Request, _res: Response, next: NextFunction) => next(error)];
const routes: Routes = { notes: { list, all: (req, res) => res.json(req.body), guarded: route } };
const logger: Logger = { error() {}, warn() {}, info() {}, debug(message) { message.toUpperCase(); } };
const limits: Partial<Limits> = { jsonDepth: 16 };

const app = express();
const memory: MemoryRedis = memoryRedis();
const clients: RedisClient[] = [createClient(), new Redis({ lazyConnect: true }), memory];
const sockjsServer: SockJSServer = sockjs.createServer();
const options: TokenSocketServerOptions<User> = {
  authentication: authenticate,
  channelPrefix: "chat:",
  customMiddleware: [(_req, _res, next) => next()],
  filter,
  jsonp: ["https://example.com"],
  limits,
  logger,
  ping: undefined,
  pubsubClient: memory,
  routes,
  socketController: controller,
};
export const tokenServer = new TokenSocketServer<User>(app, clients[2] ?? memory, sockjsServer, options);
export const sameServer: byDefault<User> = tokenServer;
export const untyped = new TokenSocketServer(app, memory, sockjsServer);
untyped.on("authenticated", (socket) => socket.auth.anything);
export const typed = new TokenSocketServer<User, { "room:*": { at: Date } }>(app, memory, sockjsServer);
typed.on("disconnect", (socket: AnySocket<User>) => socket.auth?.id);
export const routeCalls: RouteFunctions<typeof routes> | undefined = undefined;

tokenServer.authentication = authenticateBack;
tokenServer.socketController.more = { add };
tokenServer.routes.more = { list };

tokenServer.on("authentication", async (socket, auth) => {
  const name: string = auth.name;
  await tokenServer.rpc(socket, "hello", { name }, { timeout: 1000 });
});
tokenServer.on("subscribe", (socket, { channel }, callback) => callback(null, channel === socket.auth.name));
tokenServer.on("publish", (_socket, request) => {
  request.data = { text: request.data };
  return true;
});
tokenServer.once("rpc", (_socket, { rpc, req }: GuardEvents<User>["rpc"][1]) => rpc !== "no" && req !== null);
tokenServer.on("disconnect", (socket: PendingSocket) => socket.sid);
tokenServer.on("error", (error: ServerEvents<User>["error"][0]) => error.message);
tokenServer.off("ready", () => {});

export async function use(socket: Socket<User>): Promise<void> {
  const identity: Identity<User> = socket;
  const connection: SockJSConnection = socket;
  const callback: Callback = (error, value) => [error, value];
  const callOptions: CallOptions = { timeout: Infinity, signal: AbortSignal.timeout(1000) };
  tokenServer.rpc(socket, "a.b", { from: identity.auth.id, of: connection.id }, callback, callOptions);
  try {
    await tokenServer.rpc(socket, "a.b");
  } catch (error) {
    if (error instanceof RemoteError) error.data;
    if (error instanceof TimeoutError || error instanceof AbortedError || error instanceof DisconnectedError) {
      const base: CallError = error;
      base.code;
    }
  }
  await tokenServer.publish("room", { text: "hello" });
  await tokenServer.subscribe(socket, "room");
  const names: string[] = tokenServer.channelSockets("room").map(({ auth }) => auth.name);
  const maybe: number | undefined = tokenServer.sockets()[0]?.auth?.id;
  const sent: boolean = tokenServer.send(socket, "room", [names, maybe]);
  if (sent) tokenServer.enableCleanup();
  await tokenServer.shutdown();
}
`;

const CLIENT = `
import {
  type Actions,
  type Callback,
  DisconnectedError,
  type Logger,
  type RequestOptions,
  type State,
  TokenSocket,
  type TokenSocketEvents,
  type TokenSocketOptions,
} from "node-token-sockjs/client";
import { type Controller, procedure, type StandardSchema } from "node-token-sockjs";

interface User { id: number; name: string }

const controller = {
  math: { add: (auth: User, data: { a: number; b: number }) => data.a + data.b + auth.id },
  optional: (_auth: User, data?: { a?: number }) => data?.a,
  ticks: procedure({ async *handler() { yield 1; } }),
} satisfies Controller<User>;
declare const schema: StandardSchema<{ text: string }, { text: string; at: Date }>;
const channels = { "room:*": schema };
const logger: Logger = { error() {}, debug() {} };
const actions: Actions = { ui: { confirm: ({ text }: { text: string }) => text.length > 3 } };
const options: TokenSocketOptions = { host: "x", ping: false, logger, backoff: { min: 1 }, queue: { age: 1 }, nonce: true };

export async function useAny(socket: TokenSocket): Promise<void> {
  const call: RequestOptions = { timeout: 1, signal: AbortSignal.timeout(1) };
  await socket.rpc("any.name", { any: 1 }, call);
  for await (const item of socket.rpc("any.stream")) item;
  for await (const message of socket.channel<{ any: 1 }>("any")) message.any;
  await socket.publish("any", 1);
  await socket.subscribe("any");
  const listener = (...[channel, message]: TokenSocketEvents["message"]) => [channel, message];
  socket.on("message", listener).off("message", listener);
  const state: State = socket.state;
  const callback: Callback = (error) => error instanceof DisconnectedError && [error.sent, state];
  socket.rpc("any.name", {}, callback);
}

export async function use(): Promise<void> {
  const socket = new TokenSocket<typeof controller, typeof channels>(options, actions);
  const sum: number = await socket.call.math.add({ a: 1, b: 2 });
  const same: number = await socket.rpc("math.add", { a: 1, b: sum });
  await socket.call.optional();
  await socket.call.optional({}, { timeout: same });
  for await (const tick of socket.call.ticks()) tick.toFixed();
  await socket.publish("room:1", { text: "hello" });
  for await (const { text, at } of socket.channel("room:1")) text.concat(at);
  // one without types will do where types make no difference
  await useAny(socket);
  const sockets: TokenSocket[] = [socket, new TokenSocket<typeof controller>(), new TokenSocket()];
  const some: TokenSocket<Pick<typeof controller, "math">, Pick<typeof channels, "room:*">> = socket;
  await Promise.all([...sockets, some].map((each) => each.end()));
}
`;

const REQUIRED = `
import TokenSocketServer = require("node-token-sockjs");
import memory = require("node-token-sockjs/memory");
const error: Error = new TokenSocketServer.RpcError("no", { code: 1 });
export = [memory.memoryRedis(), error];
`;

/** What is no mistake. */
const ACCEPTED = { "application.ts": APPLICATION, "required.cts": REQUIRED, "page.ts": CLIENT };

/** The files of docs/typed-calls.md. */
const DOCUMENTED = Object.fromEntries(
  blocksOf(readFileSync(join(ROOT, "docs/typed-calls.md"), "utf8")).map(({ info, code }) => [
    info.replace("title=", ""),
    code,
  ]),
);

const nameOf = (mistake: string) => `mistake-${mistake}.ts`;

/** Each mistake with what the compiler says of it. */
const MISTAKES: Record<string, { code: string; complaint: RegExp }> = {
  authProperty: {
    code: 'tokenServer.on("authenticated", (socket) => socket.auth.nmae);',
    complaint: /'nmae' does not exist on type 'User'/,
  },
  eventName: {
    code: 'tokenServer.on("subscripted", () => {});',
    complaint: /parameter of type 'keyof ServerEvents/,
  },
  authentication: {
    code: "tokenServer.authentication = async () => ({ id: 1, name: 7 });",
    complaint:
      /'number' is not assignable to type 'string'|is not assignable to type 'AuthenticationFunction<User>/,
  },
  guardWithoutAnswer: {
    code: 'tokenServer.on("publish", (_socket, request) => { request.data = 1; });',
    complaint: /'void' is not assignable to type 'GuardAnswer'/,
  },
  eventArgument: {
    code: 'tokenServer.on("subscribed", (_socket, request) => request.data);',
    complaint: /'data' does not exist/,
  },
  optionName: {
    code: 'new TokenSocketServer(app, redis, sockjsServer, { prefx: "/live" });',
    complaint: /'prefx' does not exist/,
  },
  optionType: {
    code: 'const options: TokenSocketServerOptions = { tokenTtl: "1 minute" }; export { options };',
    complaint: /'string' is not assignable to type 'number/,
  },
  limitName: {
    code: "new TokenSocketServer(app, redis, sockjsServer, { limits: { depth: 3 } });",
    complaint: /'depth' does not exist/,
  },
  redisClient: {
    code: "new TokenSocketServer(app, new Map(), sockjsServer);",
    complaint: /not assignable to parameter of type 'RedisClient'/,
  },
  controller: {
    code: "tokenServer.socketController = { add: 5 };",
    complaint: /'number' is not assignable/,
  },
  procedureInput: {
    code: "procedure({ input: idSchema, handler: ({ input }) => input.nmae });",
    complaint: /'nmae' does not exist on type '{ id: number; }'/,
  },
  callOption: {
    code: 'new TokenSocket().rpc("add", 1, { timout: 5 });',
    complaint: /'timout' does not exist in type 'RequestOptions'/,
  },
  callOptionBehindCallback: {
    code: 'new TokenSocket().rpc("add", 1, () => {}, { timout: 5 });',
    complaint: /'timout' does not exist in type 'RequestOptions'/,
  },
  channelOption: {
    code: 'new TokenSocket().subscribe("news", { timout: 5 });',
    complaint: /'timout' does not exist in type 'SubscribeOptions'/,
  },
  publishOption: {
    code: 'new TokenSocket().publish("news", 1, { timout: 5 });',
    complaint: /'timout' does not exist in type 'PublishOptions'/,
  },
  procedureOutput: {
    code: "procedure({ output: idSchema, handler: () => ({ id: 7 }) });",
    complaint: /No overload matches this call/,
  },
  procedureSchema: {
    code: "procedure({ input: { parse() {} }, handler: () => 1 });",
    complaint: /No overload matches this call/,
  },
  procedureName: {
    code: "procedure({ inptu: idSchema, handler: () => 1 });",
    complaint: /No overload matches this call/,
  },
  procedureAuth: {
    code: "tokenServer.socketController = { a: procedure<{ admin: true }>()({ handler: () => 1 }) };",
    complaint: /not assignable to type .*Procedure<User/,
  },
  procedureContext: {
    code: "({ a: procedure({ handler: ({ auth }) => auth.nmae }) }) satisfies Controller<User>;",
    complaint: /'nmae' does not exist on type 'User'/,
  },
  pendingSocket: {
    code: 'tokenServer.on("connection", (socket) => socket.auth);',
    complaint: /'auth' does not exist on type 'PendingSocket'/,
  },
  readonlyIdentity: {
    code: 'tokenServer.on("authenticated", (socket) => { socket.ip = "::1"; });',
    complaint: /Cannot assign to 'ip'/,
  },
  rpcError: {
    code: 'new RpcError("no", { status: 400 });',
    complaint: /'status' does not exist/,
  },
  foreignClient: {
    code: "export const other: TokenSocket<{ b: () => void }> = new TokenSocket<{ a: () => void }>();",
    complaint: /not assignable to type 'TokenSocket</,
  },
  foreignMessages: {
    code: "export const other: TokenSocket<object, { b: 1 }> = new TokenSocket<object, { b: 2 }>();",
    complaint: /not assignable to type 'TokenSocket</,
  },
  untypedClient: {
    code: "const some = new TokenSocket(); export const typed: TokenSocket<{ a: () => void }> = some;",
    complaint: /not assignable to type/,
  },
  callOptions: {
    code: 'tokenServer.on("authenticated", (socket) => tokenServer.rpc(socket, "a", {}, { timeuot: 5 }));',
    complaint: /'timeuot' does not exist in type 'CallOptions'/,
  },
};
