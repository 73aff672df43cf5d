import { createServer } from "node:http";
import sockjs, { type Connection } from "sockjs";
import { Peer, Rooms } from "./rooms.js";
import { serve } from "./serve.js";

const rooms = new Rooms<Connection>((members, text) => {
  for (const connection of members) connection.write(text);
});
await rooms.connect();

const http = createServer();
const server = sockjs.createServer({ log: () => {} });
const peers = new Set<Peer<Connection>>();
server.on("connection", (connection) => {
  const peer = new Peer(connection, rooms, (text) => connection.write(text));
  peers.add(peer);
  connection.on("data", (text) => peer.receive(text));
  connection.on("close", () => {
    peers.delete(peer);
    rooms.leaveAll(connection);
  });
});
server.installHandlers(http, { prefix: "/sockets" });

await serve({ http, clients: () => [...peers].map((peer) => (data) => peer.call(data)) });
