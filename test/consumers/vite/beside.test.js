import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { TokenSocket } from "node-token-sockjs/client";
import { createServer } from "vite";
import { WebSocket } from "ws";
import { startServer } from "./start-server.js";

/** Vite's development server in an application's own, with whose HTTP server it takes the upgrades of its pages. */
async function addVite(app, http, appType) {
  const vite = await createServer({
    appType,
    clearScreen: false,
    logLevel: "error",
    server: { middlewareMode: true, hmr: { server: http } },
  });
  app.use(vite.middlewares);
  return vite;
}

/** Opens the WebSocket over which Vite tells its pages of changes. */
async function openVite(url) {
  const socket = new WebSocket(url.replace("http", "ws"), "vite-hmr");
  const [message] = await once(socket, "message");
  assert.deepEqual(JSON.parse(String(message)), { type: "connected" });
  return socket;
}

for (const [order, appType] of [
  // one that answers every page answers for the token route behind it as well
  ["before", "custom"],
  ["after", "spa"],
]) {
  test(`Vite's development server, added ${order} the token server, and this one are both there`, {
    timeout: 60_000,
  }, async () => {
    const server = await startServer({ [order]: (app, http) => addVite(app, http, appType) });
    const [vite] = server.added;
    const script = await fetch(`${server.url}/@vite/client`);
    assert.match(await script.text(), /vite-hmr/);
    const first = await openVite(server.url);
    for (const transport of [{ sockjs: false }, { WebSocket: false }]) {
      const socket = new TokenSocket({ host: server.url, ...transport });
      assert.deepEqual(await socket.rpc("who"), { name: "alice" });
      await socket.end();
    }
    assert.equal(first.readyState, WebSocket.OPEN);
    const second = await openVite(server.url);
    const closed = [first, second].map((socket) => once(socket, "close"));
    for (const socket of [first, second]) socket.close();
    await Promise.all(closed);
    await vite.close();
    await server.stop();
  });
}
