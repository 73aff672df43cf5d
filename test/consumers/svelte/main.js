import { TokenSocket } from "node-token-sockjs/client";
import { mount, tick } from "svelte";
import App from "./App.svelte";
import { converse } from "./converse.js";

const socket = new TokenSocket();

async function start() {
  await socket.ready();
  mount(App, { target: document.querySelector("#app"), props: { socket } });
  await tick();
  await socket.publish("room", "to Svelte");
  while (!document.body.textContent.includes("open: to Svelte")) {
    await new Promise((resolve) => socket.once("message", resolve));
    await tick();
  }
  await socket.end();
  return converse(TokenSocket);
}

globalThis.said = start();
