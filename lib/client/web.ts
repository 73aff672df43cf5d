// What bundlers take instead of index.ts, except for Node.js: it exports the same, and needs no other package.

import "./error-names.js";
import { browserLoaders, setLoaders } from "./loaders.js";

export {
  AbortedError,
  CallError,
  ConnectionError,
  DisconnectedError,
  ForbiddenError,
  InvalidRequestError,
  NoTransportError,
  NotFoundError,
  OverflowError,
  QueueError,
  RemoteError,
  RpcError,
  TimeoutError,
  UnauthorizedError,
} from "./errors.js";
export { TokenSocket } from "./token-socket.js";

setLoaders(browserLoaders(async () => (await import("./sockjs.js")).default));
