import { TokenSocket } from "node-token-sockjs/client";
import { converse } from "./converse.js";

globalThis.said = converse(TokenSocket);
