import { TokenSocket } from "node-token-sockjs/client";
import { createApp, nextTick, ref } from "vue";
import App from "./App.vue";
import { converse } from "./converse.js";

const socket = ref(new TokenSocket());

async function start() {
  await socket.value.ready();
  createApp(App, { socket: socket.value }).mount("#app");
  await socket.value.publish("room", "to Vue");
  while (!document.body.textContent.includes("open: to Vue")) {
    await new Promise((resolve) => socket.value.once("message", resolve));
    await nextTick();
  }
  await socket.value.end();
  return converse(TokenSocket);
}

globalThis.said = start();
