// The public names of the client, for both of its entries.

export type {
  CallData,
  CallItem,
  CallResult,
  ChannelInput,
  ChannelMessage,
  ChannelName,
  Json,
  PathOf,
  RouteFunctions,
} from "../shared/typed-calls.js";
export type { Action, Actions } from "./calls/actions.js";
export type { QueueOptions } from "./calls/queue.js";
export type { PublishOptions, RequestOptions } from "./calls/requests.js";
export type { Callback, TokenSocketEvents } from "./client-types.js";
export type { BackoffOptions } from "./connection/backoff.js";
export type { State } from "./connection/connection.js";
export {
  AbortedError,
  CallError,
  ConnectionError,
  DisconnectedError,
  ForbiddenError,
  InvalidRequestError,
  LostError,
  NoTransportError,
  NotFoundError,
  OverflowError,
  QueueError,
  RemoteError,
  RpcError,
  TimeoutError,
  UnauthorizedError,
} from "./errors.js";
export type {
  ChannelOptions,
  HistoryMessage,
  HistoryOptions,
  HistoryPage,
  Loss,
  LossReason,
  MessageInfo,
  SubscribeOptions,
} from "./history.js";
export type { AuthenticationData, Fetch, HeadersData, Logger, TokenSocketOptions } from "./options.js";
export type { Member, Presence, PresenceEvents } from "./presence-types.js";
export { TokenSocket } from "./token-socket.js";
export type { SocketConstructor, SocketLike } from "./transport/socket-constructor.js";
