import { createServer } from "node:http";
import express from "express";
import { procedure, RpcError, TokenSocketServer } from "node-token-sockjs";
import { memoryRedis } from "node-token-sockjs/memory";
import sockjs from "sockjs";

/**
 * Starts a server as an application's own tests would, in their process. `before` and `after` add something to the application
 * and its HTTP server, before the token server is there and after it; `added` has what they give.
 */
export async function startServer({ before, after } = {}) {
  const app = express();
  const http = createServer(app);
  const added = [];
  if (before) added.push(await before(app, http));
  const redis = memoryRedis();
  const tokenServer = new TokenSocketServer(app, redis, sockjs.createServer({ log() {} }), {
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
  if (after) added.push(await after(app, http));
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  return {
    added,
    url: `http://127.0.0.1:${http.address().port}`,
    async stop() {
      await tokenServer.shutdown();
      http.close();
    },
  };
}
