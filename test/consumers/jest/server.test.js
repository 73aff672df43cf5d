const { createServer } = require("node:http");
const express = require("express");
const sockjs = require("sockjs");
const TokenSocketServer = require("node-token-sockjs");
const { procedure, RpcError } = TokenSocketServer;
const { RemoteError, TokenSocket } = require("node-token-sockjs/client");
const { memoryRedis } = require("node-token-sockjs/memory");

/** @type {import("node:http").Server} */
let http;
let tokenServer;

beforeEach(async () => {
  const app = express();
  http = createServer(app);
  const redis = memoryRedis();
  tokenServer = new TokenSocketServer(app, redis, sockjs.createServer({ log() {} }), {
    pubsubClient: redis,
    authentication: () => ({ name: "alice" }),
    socketController: {
      who: procedure({ handler: ({ auth }) => auth }),
      buy: () => {
        throw new RpcError("Sold out");
      },
    },
  });
  tokenServer.attach(http);
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
});

afterEach(async () => {
  await tokenServer.shutdown();
  http.close();
});

test("a server and a client talk, and know each other's errors", async () => {
  const url = `http://127.0.0.1:${http.address().port}`;
  const socket = new TokenSocket({ host: url });
  expect(await socket.rpc("who")).toEqual({ name: "alice" });
  await expect(socket.rpc("buy")).rejects.toThrow(RemoteError);
  await socket.end();
  expect((await fetch(`${url}/socket/client.js`)).status).toBe(200);
});
