/**
 * Runs blocks of the documents, one after the other, in a process of their own. The parent sends
 * `{prelude, needsServer, file}` and is told where the block's application listens; it may ask for what was printed and what
 * has failed, and say by `{url, body}` what another service answers with.
 */
import { once } from "node:events";
import { Server } from "node:net";
import { format } from "node:util";

let printed = [];
let failed = [];
let listening = [];

console.log = (...args) => {
  const line = format(...args);
  // SockJS says where it is bound, and each request
  if (!/^(?:SockJS|GET|POST|OPTIONS) /.test(line)) printed.push(line);
};
console.error = (...args) => failed.push(format(...args));
console.warn = console.error;
process.on("uncaughtException", (error) => failed.push(error.stack));
process.on("unhandledRejection", (error) => failed.push(`unhandled: ${error?.stack ?? error}`));

// the documents say port 3000, which may be somebody's
const { listen } = Server.prototype;
Server.prototype.listen = function (port, ...rest) {
  if (port !== 3000) return listen.call(this, port, ...rest);
  const server = listen.call(this, 0, "127.0.0.1");
  listening.push(server);
  return server;
};

// the other services that the documents name are not there
const services = new Map();
const { fetch } = globalThis;
globalThis.fetch = async (url, init) =>
  services.has(String(url)) ? Response.json(services.get(String(url))) : fetch(url, init);

/** @param {{prelude?: string, needsServer: boolean, file: string}} block */
async function run({ prelude, needsServer, file }) {
  for (const server of listening) {
    server.close();
    server.closeAllConnections?.();
  }
  printed = [];
  failed = [];
  listening = [];
  if (prelude) share((await import(`${prelude}?${Math.random()}`)).shared);
  if (prelude) process.env.SERVER_URL = await urlOf(listening[0]);
  if (needsServer) await makeServer();
  await import(`${file}?${Math.random()}`);
  const [server] = listening;
  return server && urlOf(server);
}

async function urlOf(server) {
  if (!server.listening) await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

/** Gives the examples what their application has; the servers that they make are attached, as the document says. */
function share({ TokenSocketServer, ...shared }) {
  class Attached extends TokenSocketServer {
    constructor(...args) {
      super(...args);
      this.attach(shared.httpServer);
    }
  }
  Object.assign(globalThis, shared, { TokenSocketServer: Attached });
}

/**
 * What an example that makes no server of its own has: a server, and an authenticated socket of it, whose client
 * answers each call with `true`.
 */
async function makeServer() {
  const { TokenSocketServer, app, redis, sockjsServer, httpServer } = globalThis;
  const tokenServer = new TokenSocketServer(app, redis, sockjsServer, { pubsubClient: redis });
  const url = await urlOf(httpServer);
  const { token } = await (await fetch(`${url}/socket/token`)).json();
  const { WebSocket } = await import("ws");
  const client = new WebSocket(`${url.replace("http", "ws")}/sockets/websocket`);
  client.on("message", (text) => {
    const { command, data } = JSON.parse(text);
    if (command !== "rpc") return;
    client.send(JSON.stringify({ rpc: "_rpc", fid: data.fid, resp: { data: true } }));
  });
  const authenticated = once(tokenServer, "authenticated");
  client.on("open", () => client.send(JSON.stringify({ rpc: "auth", token })));
  const [socket] = await authenticated;
  Object.assign(globalThis, { tokenServer, socket });
}

process.on("message", async ({ id, message }) => {
  const reply = (answer) => process.send({ of: id, answer });
  if (message === "state") return reply({ printed, failed });
  if (message.body) return reply(services.set(message.url, message.body).size);
  try {
    reply({ url: await run(message) });
  } catch (error) {
    reply({ error: error.stack });
  }
});
