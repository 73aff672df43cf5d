/** @jest-environment jest-fixed-jsdom */
const { NotFoundError, TokenSocket } = require("node-token-sockjs/client");

test("a client talks in jsdom to a server of another process", async () => {
  const socket = new TokenSocket({ host: process.env.SERVER });
  expect(await socket.rpc("add", [1, 2, 3])).toBe(6);
  await expect(socket.rpc("nowhere")).rejects.toThrow(NotFoundError);
  await socket.end();
});
