// The public surface of the package, as a table of contents.
// Each value here is a static property of TokenSocketServer as well, for `require("node-token-sockjs")`.

import "./shared/error-names.js";

export type {
  Audience,
  AudienceCalls,
  ClusterAnswer,
  ClusterAnswers,
  FindOptions,
  FoundSockets,
  SocketCount,
  SocketInfo,
  Target,
} from "./server/api/audience.js";
export type { AuthenticationFunction, AuthenticationResult } from "./server/auth/authentication.js";
export { type ExpiresAt, type Expiring, expiring } from "./server/auth/expiry.js";
export type { LogoutOptions } from "./server/auth/logout.js";
export type { DisconnectOptions, Selector } from "./server/auth/selectors.js";
export type { ShowIdentity } from "./server/auth/shown-identity.js";
export type { TokenBinding } from "./server/auth/token-binding.js";
export type { Identify, VerifiedToken, VerifyToken } from "./server/auth/token-verifier.js";
export type { Channels } from "./server/channels/channel-schemas.js";
export type { SlowReaderPolicy } from "./server/channels/slow-readers.js";
export type { GuardAnswer, GuardEvents, NoticeEvent, ServerEvents } from "./server/events/events.js";
export type { Filter } from "./server/events/message-types.js";
export type { ChannelHistory } from "./server/history/history-option.js";
export type {
  HistoryOptions,
  HistoryResult,
  KeptMessage,
  PublishOptions,
} from "./server/history/kept-message.js";
export type { Loss, LossReason } from "./server/history/loss.js";
export type { Health } from "./server/http/health.js";
export type { HttpServer } from "./server/http/interception.js";
export type { OriginFunction } from "./server/http/origins.js";
export type { Verification, VerifyFunction } from "./server/http/verify-connection.js";
export type { Limits } from "./server/limits/limits.js";
export type { Logger } from "./server/log/reporter.js";
export type { TokenSocketServerOptions } from "./server/options/options.js";
export type { PresenceList, PresenceMember } from "./server/presence/member.js";
export type { ChannelPresence, PresenceInfo } from "./server/presence/presence-option.js";
export type { IORedisClient, MemoryRedis, NodeRedisClient, RedisClient } from "./server/redis/adapt.js";
export type { ServerInfo } from "./server/registry/registry.js";
export type { Route, RouteErrorHandler, RouteHandler, Routes } from "./server/routes/express-routes.js";
export type { CallContext, Controller, FunctionContext, RpcFunction } from "./server/rpc/controller.js";
export type { Next, Passed } from "./server/rpc/middleware.js";
export type { Procedure, ProcedureInput, ProcedureResult } from "./server/rpc/procedure.js";
export {
  type CheckedProcedureDefinition,
  type Middleware,
  type MiddlewareCall,
  type ProcedureCall,
  type ProcedureDefinition,
  type ProcedureMaker,
  procedure,
  type StreamDefinition,
} from "./server/rpc/procedure-maker.js";
export { call, type TestCall } from "./server/rpc/test-call.js";
export {
  TokenSocketServer,
  TokenSocketServer as default,
  TokenSocketServer as "module.exports",
} from "./server/token-socket-server.js";
export type {
  AnySocket,
  Identity,
  PendingSocket,
  Socket,
  SockJSConnection,
  SockJSOptions,
  SockJSServer,
} from "./server/transport/socket.js";
export type { WebSocketOptions } from "./server/transport/websockets.js";
export type { Callback } from "./shared/answer.js";
export {
  AbortedError,
  CallError,
  DisconnectedError,
  ForbiddenError,
  InvalidRequestError,
  NotFoundError,
  RemoteError,
  TimeoutError,
  UnauthorizedError,
} from "./shared/call-errors.js";
export { RpcError, type RpcErrorOptions } from "./shared/errors.js";
export type { CallOptions } from "./shared/pending-calls.js";
export type { StandardIssue, StandardResult, StandardSchema } from "./shared/standard-schema.js";
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
} from "./shared/typed-calls.js";
