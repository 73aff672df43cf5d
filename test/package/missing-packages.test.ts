import { execFile } from "node:child_process";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { installPackage } from "./installed-package.js";

const run = promisify(execFile);

describe("the client where packages are missing", () => {
  /** A project with this package and no other one. */
  let folder: string;
  let server: Server;
  let tokens: number;
  /** Whether the server has nothing but tokens, since nobody called `attach()`. */
  let isUnserved: boolean;

  before(async function () {
    this.timeout(300_000);
    const project = await installPackage();
    folder = await mkdtemp(join(tmpdir(), "node-token-sockjs-"));
    await cp(
      join(project, "node_modules/node-token-sockjs"),
      join(folder, "node_modules/node-token-sockjs"),
      {
        recursive: true,
      },
    );
    server = createServer(({ url }, res) => {
      if (url === "/socket/token") tokens++;
      else if (isUnserved) res.statusCode = 404;
      res.end('{"token":"00000000-0000-4000-8000-000000000000"}');
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  beforeEach(() => {
    tokens = 0;
    isUnserved = false;
  });
  after(async () => {
    server.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** Connects until the connection waits or is closed; gives its state and why, and what was logged. */
  async function connect(options: string): Promise<unknown> {
    const { port } = server.address() as AddressInfo;
    const file = join(folder, "connect.mjs");
    await writeFile(
      file,
      `import { TokenSocket } from "node-token-sockjs/client";
      delete globalThis.WebSocket;
      const logged = [];
      const logger = { debug() {}, error: (message, { name, code }) => logged.push([message, name, code]) };
      const socket = new TokenSocket({ host: "http://127.0.0.1:${port}", logger, ...${options} });
      socket.on("state", (state, _previous, { message }) => {
        console.log(JSON.stringify({ state, message, logged }));
        void socket.end();
      });`,
    );
    const { stdout } = await run(process.execPath, [file], { cwd: folder });
    return JSON.parse(stdout.split("\n")[0] ?? "");
  }

  const logged = [["Cannot connect", "NoTransportError", "no_transport"]];

  it("says at once that ws is missing, and makes no further attempt", async () => {
    const message = "The client needs the package ws here, which cannot be loaded";
    expect(await connect("{}")).to.deep.equal({ state: "closed", message, logged });
    expect(await connect("{ sockjs: false }")).to.deep.equal({ state: "closed", message, logged });
    expect(tokens).to.equal(2);
  });

  it("names sockjs-client where that alone is wanted", async () => {
    const message = "The client needs the package sockjs-client here, which cannot be loaded";
    expect(await connect("{ WebSocket: false }")).to.deep.equal({ state: "closed", message, logged });
  });

  const failing = "class { constructor() { setTimeout(() => this.onclose({ code: 1006 })); } close() {} }";

  it("tells of the WebSocket that has failed, and tries again, where sockjs-client is missing", async () => {
    expect(await connect(`{ WebSocket: ${failing} }`)).to.deep.equal({
      state: "waiting",
      message:
        "websocket: Not opened; sockjs: The client needs the package sockjs-client here, which cannot be loaded",
      logged: [],
    });
  });

  it("names attach(), and no package, where the server serves no connections", async () => {
    isUnserved = true;
    const { port } = server.address() as AddressInfo;
    expect(await connect(`{ WebSocket: ${failing} }`)).to.deep.equal({
      state: "waiting",
      message: `Nothing serves http://127.0.0.1:${port}/sockets: was attach() called?`,
      logged: [],
    });
  });
});
