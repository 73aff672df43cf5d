import { expect } from "chai";
import { procedure, RpcError, type TokenSocketServerOptions } from "../../lib/index.js";
import { Application } from "../support/application.js";
import { reported, until } from "../support/condition.js";

/** A promise of another library's, which knows `then` alone. */
class Thenable<T> implements PromiseLike<T> {
  readonly #promise: Promise<T>;

  constructor(promise: Promise<T>) {
    this.#promise = promise;
  }

  // biome-ignore lint/suspicious/noThenProperty: this is what it is about
  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Thenable<A | B> {
    return new Thenable(this.#promise.then(onFulfilled, onRejected));
  }
}

const given = <T>(value: T) => new Thenable(Promise.resolve(value));
const refused = (error: unknown) => new Thenable<never>(Promise.reject(error));

/** An object that cannot be asked whether it is a promise. */
function unreadable(): never {
  // biome-ignore lint/suspicious/noThenProperty: this is what it is about
  return Object.defineProperty({}, "then", {
    get() {
      throw new Error("reading then");
    },
  }) as never;
}

const FORBIDDEN = { message: "Forbidden", code: "forbidden" };
const INTERNAL = { message: "Internal error", code: "internal" };
const TOKEN = "no uuid";

/** Each test fails, too, where something is thrown or rejected with that nobody catches. */
describe("Promises of any make", () => {
  let application: Application;

  const start = async (options: TokenSocketServerOptions = {}) => {
    application = await Application.start({ options });
    return application;
  };
  const connect = () => application.connect("websocket", { protocol: 4 });
  const told = async (count: number) => {
    await until(() => application.errors.length >= count);
    return application.errors.map(({ message }) => message);
  };
  afterEach(() => application.stop());

  it("count as what functions, procedures and middlewares return", async () => {
    await start({
      socketController: {
        plain: (_auth: unknown) => given(1),
        none: () => given(2),
        declared: (_a: unknown, _d: unknown, _callback: unknown, _socket: unknown) => given(3),
        procedure: procedure(() => given(4)),
        behind: procedure.use(({ next }) => given(undefined).then(() => next()))(() => 5),
        rejecting: (_auth: unknown) => refused(new RpcError("no")),
      },
    });
    const client = await connect();
    const answers: unknown[] = [];
    for (const rpc of ["plain", "none", "declared", "procedure", "behind", "rejecting"]) {
      const { resp, error } = await client.request({ rpc });
      answers.push(resp ?? (error as Error).message);
    }
    expect(answers).to.deep.equal([1, 2, 3, 4, 5, "no"]);
  });

  it("count as what a callback is given", async () => {
    const { tokenServer } = await start({
      socketController: {
        given: (_a: unknown, _d: unknown, callback: (...args: unknown[]) => void) => callback(null, given(1)),
        native: (_a: unknown, _d: unknown, callback: (...args: unknown[]) => void) =>
          callback(null, Promise.resolve(2)),
        rejecting: (_a: unknown, _d: unknown, callback: (...args: unknown[]) => void) =>
          callback(null, Promise.reject(new Error("secret"))),
        unreadable: (_a: unknown, _d: unknown, callback: (...args: unknown[]) => void) =>
          callback(null, unreadable()),
      },
    });
    tokenServer.on("publish", (_socket, { data }, callback) =>
      callback(null, Promise.resolve(data === "yes")),
    );
    const client = await connect();
    const publish = (data: string) => client.request({ rpc: "_publish", req: { channel: "a", data } });
    expect((await client.request({ rpc: "given" })).resp).to.equal(1);
    expect((await client.request({ rpc: "native" })).resp).to.equal(2);
    expect((await client.request({ rpc: "rejecting" })).error).to.deep.equal(INTERNAL);
    expect((await client.request({ rpc: "unreadable" })).error).to.deep.equal(INTERNAL);
    expect((await publish("yes")).resp).to.equal("success");
    expect((await publish("no")).error).to.deep.equal(FORBIDDEN);
    expect(await told(2)).to.deep.equal(["secret", "reading then"]);
  });

  it("count as what guards return, those of authentication among them", async () => {
    const { tokenServer } = await start();
    tokenServer.on("subscribe", (_socket, { channel }) => given(channel === "yes"));
    tokenServer.on("authentication", (_socket, _auth) => given(undefined));
    const client = await connect();
    expect((await client.request({ rpc: "_subscribe", req: { channel: "no" } })).error).to.deep.equal(
      FORBIDDEN,
    );
    const joined = await client.request({ rpc: "_subscribe", req: { channel: "yes" }, uuid: "u" });
    expect(joined).to.have.property("resp", "success");
    tokenServer.on("authentication", (_socket, _auth) => given(false));
    const other = await application.open();
    other.send({ rpc: "auth", token: await application.token() });
    expect((await other.closed).code).to.equal(4403);
  });

  it("count as what verifyToken and identify return", async () => {
    await start({
      verifyToken: (token) => given({ auth: { name: token } }),
      identify: (auth) => given(String(auth.name)),
    });
    const { tokenServer } = application;
    const client = await application.open();
    await client.request({ rpc: "auth", token: TOKEN });
    expect(application.socket().auth).to.deep.equal({ name: TOKEN });
    expect(await tokenServer.disconnect({ identity: TOKEN })).to.equal(1);
    await client.closed;
  });

  it("keep a socket out where identify does not answer, or not with a key", async () => {
    let answer: () => PromiseLike<string> = () => new Promise(() => {});
    await start({
      verifyToken: (token) => ({ auth: { name: token } }),
      identify: () => answer(),
      limits: { authenticationTimeout: 20 },
    });
    for (const next of [() => refused(new Error("no key")), unreadable, () => given({} as string)]) {
      const client = await application.open();
      client.send({ rpc: "auth", token: TOKEN });
      expect((await client.closed).code).to.equal(4503);
      answer = next;
    }
    const client = await application.open();
    client.send({ rpc: "auth", token: TOKEN });
    expect((await client.closed).code).to.equal(4503);
    expect(await told(4)).to.deep.equal([
      "identify has not answered in time",
      "no key",
      "reading then",
      "identify must give a number, or a well-formed string that is not empty",
    ]);
  }).timeout(8_000);

  it("count as what verifyConnection returns", async () => {
    let answer: () => PromiseLike<boolean | { data: unknown }> = () => given({ data: 7 });
    await start({ verifyConnection: () => answer() });
    await connect();
    expect(application.socket().data).to.equal(7);
    const status = async (session: string) =>
      (await fetch(`${application.url}/sockets/000/${session}/xhr`, { method: "POST" })).status;
    const statuses: number[] = [];
    for (const next of [() => given(false), () => refused(new Error("broken")), unreadable]) {
      answer = next;
      statuses.push(await status(`session${statuses.length}`));
    }
    expect(statuses).to.deep.equal([403, 500, 500]);
    expect(await told(2)).to.deep.equal(["broken", "reading then"]);
  });

  it("are refused by name where there is no time for them, and lose no rejection", async () => {
    const broken = () => Promise.reject(new Error("broken"));
    const { tokenServer } = await start({
      allowedOrigins: broken as never,
      filter: broken,
      slowReaders: { "latest*": { latest: broken } },
    });
    const client = await connect();
    const { status } = await fetch(`${application.url}/socket/token`, {
      headers: { origin: "https://other.example" },
    });
    expect(status).to.equal(403);
    const socket = application.socket();
    tokenServer.send(socket, "latest", 1);
    tokenServer.send(socket, "other", 1);
    await client.request({ rpc: "nope" });
    expect(await told(3)).to.deep.equal([
      "allowedOrigins must return true or false",
      "the filter must be synchronous; it returned a promise",
      "the filter must be synchronous; it returned a promise",
    ]);
    await application.stop();
    const { tokenServer: another } = await start({ slowReaders: { "latest*": { latest: broken } } });
    await connect();
    another.send(application.socket(), "latest", 1);
    expect(await told(1)).to.deep.equal(["latest must be synchronous; it returned a promise"]);
  });

  it("of listeners that answer nothing are watched", async () => {
    const lines: string[] = [];
    const { tokenServer } = await start({
      logger: {
        error: (line) => refused(lines.push(line)),
        warn: unreadable,
        info: () => refused(new Error("log")),
      },
      socketController: {
        wait: procedure(
          ({ signal }) =>
            new Promise((resolve) => {
              signal.addEventListener("abort", () => refused(new Error("of the signal")));
              signal.addEventListener("abort", unreadable);
              signal.addEventListener("abort", resolve);
            }),
        ),
      },
    });
    tokenServer.on("authenticated", () => refused(new Error("of a notice")));
    tokenServer.on("authenticated", unreadable);
    const client = await connect();
    client.send({ rpc: "wait", uuid: "call" });
    await client.request({ rpc: "_cancel", req: { uuid: "call" } });
    tokenServer.rpc(application.socket(), "nope", {}, unreadable);
    const { fid } = await client.takeCall();
    client.send({ rpc: "_rpc", fid, resp: { data: 1 } });
    expect((await told(5)).toSorted()).to.deep.equal([
      "of a notice",
      "of the signal",
      "reading then",
      "reading then",
      "reading then",
    ]);
    // where the listeners for errors fail in the same ways, and the logger, nothing is left to be told
    tokenServer.on("error", () => refused(new Error("of an error listener")));
    tokenServer.on("error", unreadable);
    tokenServer.rpc(application.socket(), "nope", {}, () => refused(new Error("last")));
    const last = await client.takeCall();
    client.send({ rpc: "_rpc", fid: last.fid, resp: { data: 1 } });
    await told(6);
    tokenServer.removeAllListeners("error");
    tokenServer.rpc(application.socket(), "nope", {}, () => refused(new Error("logged")));
    const logged = await client.takeCall();
    client.send({ rpc: "_rpc", fid: logged.fid, resp: { data: 1 } });
    await until(() => lines.some((line) => line.includes("logged")));
    await reported();
  });
});
