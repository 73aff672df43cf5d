import { render, screen } from "@testing-library/react";
import { TokenSocket } from "node-token-sockjs/client";
import { TokenSocketProvider, useResult } from "node-token-sockjs/react";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { startServer } from "./start-server.js";

function Name() {
  const { data } = useResult("who");
  return <p>{data?.name}</p>;
}

test("a component shows what the server answers", async () => {
  const server = await startServer();
  globalThis.happyDOM?.setURL(server.url);
  const socket = new TokenSocket({ host: server.url, WebSocket });
  render(
    <TokenSocketProvider socket={socket}>
      <Name />
    </TokenSocketProvider>,
  );
  expect((await screen.findByText("alice")).tagName).toBe("P");
  await socket.end();
  await server.stop();
});
