import { expect } from "chai";
import type { TokenSocket } from "../../../lib/client/index.js";
import { subject } from "./context.js";

/** Makes the client emit a message, and waits until it has. */
async function tell(client: TokenSocket, message: unknown): Promise<void> {
  await client.rpc("test.send", { channel: "events", data: message });
  // what the server sends comes in order, so the message was there before this answer
  await client.rpc("echo");
}

export const events = subject("A client's listeners", {
  "are added and removed as in Node.js": async ({ connect }) => {
    const client = connect();
    const heard: unknown[] = [];
    const listen = (name: string) => (_channel: string, message: unknown) => heard.push([name, message]);
    const [on, once, added] = [listen("on"), listen("once"), listen("added")];
    client.on("message", on).once("message", once).addListener("message", added).on("message", on);
    await tell(client, 1);
    expect(heard.splice(0)).to.deep.equal(["on", "once", "added", "on"].map((name) => [name, 1]));
    client.off("message", on).removeListener("message", added);
    await tell(client, 2);
    expect(heard.splice(0)).to.deep.equal([["on", 2]]);
    client.once("message", once).removeListener("message", once);
    await tell(client, 3);
    expect(heard.splice(0)).to.deep.equal([["on", 3]]);
    client.on("unsubscribed", () => heard.push("another event"));
    client.removeAllListeners("message");
    await tell(client, 4);
    await client.rpc("test.join", "events");
    await client.rpc("test.leave", "events");
    expect(heard.splice(0)).to.deep.equal(["another event"]);
    client.onmessage(on).removeAllListeners();
    await tell(client, 5);
    expect(heard).to.deep.equal([]);
  },

  "that are added or removed during an event change nothing of that event": async ({ connect }) => {
    const client = connect();
    const heard: unknown[] = [];
    const late = () => heard.push("late");
    client.on("message", () => {
      client.off("message", removed).on("message", late);
    });
    const removed = () => heard.push("removed");
    client.on("message", removed);
    await tell(client, 1);
    expect(heard.splice(0)).to.deep.equal(["removed"]);
    client.removeAllListeners();
  },

  "that throw or reject are logged, and disturb nothing": async ({ connect, logged }) => {
    const client = connect();
    const heard: unknown[] = [];
    client.on("message", () => {
      throw new Error("thrown");
    });
    client.on("message", async () => {
      throw new Error("rejected");
    });
    client.on("message", (_channel, message) => heard.push(message));
    await tell(client, 1);
    expect(heard).to.deep.equal([1]);
    expect(logged.errors.map(String)).to.deep.equal([
      "A listener failed,Error: thrown",
      "A listener failed,Error: rejected",
    ]);
  },
});

export const frames = subject("Frames that mean nothing", {
  "are ignored, and logged where that is asked for": async ({ connect, logged }) => {
    const texts = [
      "",
      "no JSON",
      "null",
      "5",
      '"text"',
      "[]",
      "{}",
      '{"internal":true}',
      '{"internal":true,"command":"dance","data":{"fid":"1"}}',
      '{"internal":true,"command":"rpc","data":{"command":"known"}}',
      '{"internal":true,"command":"subscribe","data":{"channel":5}}',
      '{"uuid":"nobody","resp":1}',
      '{"uuid":5,"resp":1}',
      '{"channel":5,"message":1}',
      '{"channel":"room"}',
      '{"hello":"from the future"}',
    ];
    const client = connect({}, { known: () => 1 });
    await client.ready();
    logged.debug.length = 0;
    let changes = 0;
    client.on("state", () => changes++);
    client.onmessage(() => changes++);
    await client.rpc("test.write", texts);
    expect(await client.rpc("echo", 1)).to.equal(1);
    expect(changes).to.equal(0);
    expect(logged.debug).to.deep.equal(texts.map((text) => ["Unknown frame", text]));
    const quiet = connect({ debug: false });
    await quiet.rpc("test.write", texts);
    expect(logged.debug).to.have.length(texts.length);
    expect(logged.errors).to.deep.equal([]);
  },
});
