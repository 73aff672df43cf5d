// The build makes the module of `sockjs-client`'s own script for browsers.
import type { SocketConstructor } from "./transport/socket-constructor.js";

declare const SockJS: SocketConstructor;
export default SockJS;
