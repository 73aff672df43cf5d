import { RemoteError, TokenSocket } from "node-token-sockjs/client";
import { startServer } from "./start-server.js";

test("a server and a client talk, and know each other's errors", async () => {
  const server = await startServer();
  const socket = new TokenSocket({ host: server.url });
  expect(await socket.rpc("who")).toEqual({ name: "alice" });
  await expect(socket.rpc("buy")).rejects.toThrow(RemoteError);
  await socket.end();
  await server.stop();
});
