import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import express5, { type Express, type NextFunction, type Request, type Response } from "express";
import { DEFAULT_LIMITS } from "../../lib/server/limits/limits.js";
import { ExpressRoutes, type Route, type RunningRoute } from "../../lib/server/routes/express-routes.js";
import type { Socket } from "../../lib/server/transport/socket.js";
import type { Outcome } from "../../lib/shared/errors.js";

export const express4 = createRequire(import.meta.url)("express4") as typeof express5;

export const EXPRESS_VERSIONS = [
  [5, express5],
  [4, express4],
] as const;

/** Tests of routes with an application of each Express. `prepare` hands over a new one, and a folder of files, before each. */
export function describeRoutes(
  tests: (
    prepare: (take: (given: { app: Express; folder: string }) => void) => void,
    express: typeof express5,
  ) => void,
): void {
  describe("Express routes", () => {
    let folder: string;

    before(async () => {
      folder = await makeFolder();
    });

    after(() => rm(folder, { recursive: true }));

    for (const [version, express] of EXPRESS_VERSIONS) {
      describe(`of an Express ${version} application`, () => {
        tests((take) => beforeEach(() => take({ app: express(), folder })), express);
      });
    }
  });
}

export const PATH = "notes.list";
export const PNG = Buffer.from("89504e470d0a1a0aff00fe", "hex");

export interface Auth {
  id: number;
}

export const auth: Auth = { id: 7 };

export function makeSocket(headers: Record<string, string> = {}): Socket<Auth> {
  const socket = {
    id: "1",
    sid: "5f0c6f0e-2f4e-4f5d-9d25-8a8a53c1a6a1",
    remoteAddress: "10.0.0.1",
    remotePort: 4711,
    headers: {
      host: "inner:8080",
      "user-agent": "test agent",
      referer: "https://api.eu.example.com/page",
      "accept-language": "de, en;q=0.5",
      ...headers,
    },
    auth,
    host: "api.eu.example.com:3000",
    ip: "192.0.2.9",
    ips: ["192.0.2.9", "10.0.0.2"],
  };
  return socket as unknown as Socket<Auth>;
}

export function deferred<T>() {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((fulfil) => {
    resolve = fulfil;
  });
  return { promise, resolve };
}

export interface Call {
  readonly running: RunningRoute;
  readonly outcome: Promise<Outcome>;
  /** Everything that was settled, in order. */
  readonly outcomes: Outcome[];
  readonly late: unknown[];
  /** The next error that is late. */
  nextLate(): Promise<unknown>;
}

export interface CallOptions {
  data?: unknown;
  path?: string;
  socket?: Socket<Auth>;
  maxResponseBytes?: number;
}

export function start(app: Express, route: Route, options: CallOptions = {}): Call {
  const {
    path = PATH,
    socket = makeSocket(),
    maxResponseBytes = DEFAULT_LIMITS.routeResponseBytes,
  } = options;
  const data = "data" in options ? options.data : { page: "2" };
  const routes = new ExpressRoutes<Auth>(app, maxResponseBytes);
  const outcomes: Outcome[] = [];
  const late: unknown[] = [];
  const waiting: ((error: unknown) => void)[] = [];
  const settled = deferred<Outcome>();
  const running = routes.call(
    route,
    { path, data, socket, auth },
    (outcome) => {
      outcomes.push(outcome);
      settled.resolve(outcome);
    },
    (error) => {
      late.push(error);
      waiting.shift()?.(error);
    },
  );
  const nextLate = () => new Promise<unknown>((resolve) => waiting.push(resolve));
  return { running, outcome: settled.promise, outcomes, late, nextLate };
}

export function outcomeOf(app: Express, route: Route, options?: CallOptions): Promise<Outcome> {
  return start(app, route, options).outcome;
}

export async function resultOf(app: Express, route: Route, options?: CallOptions): Promise<unknown> {
  const outcome = await outcomeOf(app, route, options);
  if (outcome.status !== "result") throw new Error(`an ${outcome.status}`, { cause: outcome.error });
  return outcome.value;
}

export async function errorOf(app: Express, route: Route, options?: CallOptions): Promise<unknown> {
  const outcome = await outcomeOf(app, route, options);
  expect(outcome.status).to.equal("error");
  return outcome.status === "error" ? outcome.error : undefined;
}

export async function failureOf(app: Express, route: Route, options?: CallOptions): Promise<Error> {
  const outcome = await outcomeOf(app, route, options);
  expect(outcome.status).to.equal("failure");
  return (outcome as { error: Error }).error;
}

/** What an expression gives inside a handler. */
export async function inside<T>(
  app: Express,
  look: (req: Request, res: Response) => T,
  options?: CallOptions,
) {
  let seen: T | undefined;
  await resultOf(
    app,
    (req, res) => {
      seen = look(req, res);
      res.json(null);
    },
    options,
  );
  return seen as T;
}

interface Seen {
  status: number;
  headers: Record<string, unknown>;
}

function watch(seen: Seen) {
  return (_req: Request, res: Response, next: NextFunction) => {
    res.on("finish", () => {
      const { "x-powered-by": _, ...headers } = res.getHeaders();
      Object.assign(seen, { status: res.statusCode, headers });
    });
    next();
  };
}

/** Runs a handler over HTTP and over the socket, and asserts that both give the same. Returns what it was. */
export async function parity(
  app: Express,
  handler: (req: Request, res: Response, next: NextFunction) => unknown,
): Promise<Seen & { body: unknown }> {
  const overHttp: Seen = { status: 0, headers: {} };
  app.post("/notes/list", express5.json(), watch(overHttp), handler);
  const server = createServer(app).listen(0);
  await once(server, "listening");
  const reply = await fetch(`http://localhost:${(server.address() as AddressInfo).port}/notes/list`, {
    method: "POST",
    body: '{"page":"2"}',
    headers: { "content-type": "application/json" },
    redirect: "manual",
  });
  const bytes = Buffer.from(await reply.arrayBuffer());
  server.close();
  server.closeAllConnections();
  await once(server, "close");

  const overSocket: Seen = { status: 0, headers: {} };
  let finished: Promise<unknown> | undefined;
  const keepFinish = (_req: Request, res: Response, next: NextFunction) => {
    finished = once(res, "finish");
    next();
  };
  const outcome = await outcomeOf(app, [watch(overSocket), keepFinish, handler]);
  await finished;
  expect(overSocket).to.deep.equal(overHttp);

  const type = reply.headers.get("content-type") ?? "";
  const body = /json/.test(type)
    ? JSON.parse(bytes.toString())
    : /^text|javascript/.test(type) || type === ""
      ? bytes.toString()
      : bytes.toString("base64");
  const isObject = typeof body === "object" && body !== null && !Array.isArray(body);
  if (overHttp.status < 300) {
    const expected = isObject ? { ...body, _headers: overHttp.headers, _code: overHttp.status } : body;
    expect(outcome).to.deep.equal({ status: "result", value: expected === "" ? null : expected });
  } else {
    expect(outcome.status).to.equal("error");
  }
  return { ...overHttp, body };
}

/** Makes a folder with `hello.txt`, `pixel.png` and `view.tpl`. */
export async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "express-routes-"));
  await writeFile(join(folder, "hello.txt"), "Hello ä\n");
  await writeFile(join(folder, "pixel.png"), PNG);
  await writeFile(join(folder, "view.tpl"), "Hello NAME");
  return folder;
}
