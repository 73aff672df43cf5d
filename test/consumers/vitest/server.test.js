import { RemoteError, TokenSocket } from "node-token-sockjs/client";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { startServer } from "./start-server.js";

test("a server and a client talk, and know each other's errors", async () => {
  const server = await startServer();
  globalThis.happyDOM?.setURL(server.url);
  const socket = new TokenSocket({ host: server.url, WebSocket });
  expect(await socket.rpc("who")).toEqual({ name: "alice" });
  await expect(socket.rpc("buy")).rejects.toThrow(RemoteError);
  await socket.end();
  await server.stop();
});
