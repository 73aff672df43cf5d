import { createServer } from "node:http";
import { type WebSocket, WebSocketServer } from "ws";
import { Peer, Rooms } from "./rooms.js";
import { serve } from "./serve.js";

const rooms = new Rooms<WebSocket>((members, text) => {
  const payload = Buffer.from(text);
  for (const socket of members) socket.send(payload, { binary: false });
});
await rooms.connect();

const http = createServer();
const server = new WebSocketServer({ server: http });
const peers = new Set<Peer<WebSocket>>();
server.on("connection", (socket) => {
  const peer = new Peer(socket, rooms, (text) => socket.send(text));
  peers.add(peer);
  socket.on("message", (data) => peer.receive(String(data)));
  socket.on("error", () => {});
  socket.on("close", () => {
    peers.delete(peer);
    rooms.leaveAll(socket);
  });
});

await serve({ http, clients: () => [...peers].map((peer) => (data) => peer.call(data)) });
