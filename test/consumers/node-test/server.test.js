import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import * as client from "node-token-sockjs/client";
import { converse } from "./converse.js";
import { startServer } from "./start-server.js";

const { RemoteError, TokenSocket } = client;

test("a server and a client talk, and know each other's errors", async () => {
  const server = await startServer();
  const socket = new TokenSocket({ host: server.url });
  assert.deepEqual(await socket.rpc("who"), { name: "alice" });
  await assert.rejects(socket.rpc("buy"), RemoteError);
  await socket.end();
  await server.stop();
});

test("a client talks over WebSocket and over SockJS", async () => {
  const results = await converse(TokenSocket, process.env.SERVER);
  assert.deepEqual(results, Array(2).fill([6, "hello", "NotFoundError", "not_found"]));
});

test("require() gives the same", () => {
  assert.equal(createRequire(import.meta.url)("node-token-sockjs/client").TokenSocket, TokenSocket);
});
