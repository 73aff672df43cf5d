import { TokenSocket } from "node-token-sockjs/client";
import { converse } from "./converse.js";

addEventListener("message", async ({ data }) => {
  postMessage(await converse(TokenSocket, data).catch(String));
});
