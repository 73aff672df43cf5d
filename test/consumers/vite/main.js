import { TokenSocket } from "node-token-sockjs/client";
import { converse } from "./converse.js";

const host = new URLSearchParams(location.search).get("server") ?? location.origin;

/** A worker has its own copy of the client. */
const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
const answer = new Promise((resolve) => {
  worker.onmessage = ({ data }) => resolve(data);
});
worker.postMessage(host);

globalThis.said = Promise.all([converse(TokenSocket, host), answer]).then((results) => results.flat());
