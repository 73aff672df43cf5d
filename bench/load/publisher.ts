/** Publishes through Redis, in a process of its own. Its arguments are the port of Redis and the dialect. */
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { type Batch, channelOf, makeMessage } from "../messages.js";

const [port, dialect] = process.argv.slice(2);
const client = createClient({ socket: { host: "127.0.0.1", port: Number(port) } });
client.on("error", () => {});
await client.connect();

const emitter = new Emitter(client);

function publish(channel: string, message: object): void {
  if (dialect === "socket.io") emitter.to(channel).emit("message", channel, message);
  else void client.publish(channel, JSON.stringify(message));
}

process.on("message", ({ first, count, size, channels }: Batch) => {
  for (let number = first; number < first + count; number++) {
    publish(channelOf(number, channels), makeMessage(number, size));
  }
});
process.on("disconnect", () => process.exit());
process.send?.("ready");
