/** A client that does nothing wrong while others do, in a process of its own, so that it is not kept waiting by them. */
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";
import type { BystanderOrder, BystanderTold } from "./messages.js";

const INTERVAL = 20;
/** How long an answer may take, in milliseconds. */
const PATIENCE = 10_000;

const { URL: url = "" } = process.env;
const tell = (told: BystanderTold) => process.send?.(told);
const faults: string[] = [];
let [served, longest, isOver] = [0, 0, false];
let onText = (_text: string) => {};

const { token } = (await (await fetch(`${url}/socket/token?name=bystander`)).json()) as { token: string };
const socket = new WebSocket(`${url.replace(/^http/, "ws")}/sockets/websocket`, { perMessageDeflate: false });
socket.on("message", (data) => onText(String(data)));
socket.on("close", (code) => {
  if (!isOver) faults.push(`the bystander was closed: ${code}`);
});
await once(socket, "open");

/** Sends a request, and waits for a frame that has a text. */
async function round(frame: Record<string, unknown>, text: string): Promise<void> {
  const start = performance.now();
  const answered = new Promise<boolean>((resolve) => {
    onText = (got) => got.includes(text) && resolve(true);
  });
  socket.send(JSON.stringify(frame));
  const isInTime = await Promise.race([answered, delay(PATIENCE, false, { ref: false })]);
  longest = Math.max(longest, performance.now() - start);
  if (isInTime) served++;
  else faults.push(`the bystander got no answer to ${JSON.stringify(frame)}`);
}

/** The reply to a call, and a message that comes back by way of Redis. */
async function live(): Promise<void> {
  for (let count = 0; !isOver && faults.length === 0; count++) {
    await round(
      { rpc: "echo", req: count, uuid: `echo ${count}` },
      `"uuid":"echo ${count}","resp":${count}}`,
    );
    const req = { channel: "bystander", data: `message ${count}` };
    await round({ rpc: "_publish", req, uuid: `p ${count}` }, `"message":["message ${count}"]`);
    await delay(INTERVAL);
  }
}

await round({ rpc: "auth", token, uuid: "auth", protocol: 4 }, '"resp":"success"');
await round({ rpc: "_subscribe", req: { channel: "bystander" }, uuid: "s" }, '"uuid":"s","resp"');
[served, longest] = [0, 0];
const living = live();

process.on("disconnect", () => process.exit(isOver ? 0 : 1));
process.on("message", async (order: BystanderOrder) => {
  if (order === "report") tell({ type: "report", served, longest, faults });
  else {
    isOver = true;
    await living;
    socket.terminate();
    process.disconnect();
  }
});
tell({ type: "there" });
