// The public surface of the hooks, as a table of contents.

"use client";

export {
  type CallState,
  type ResultOptions,
  type UseCall,
  type UseResult,
  useCall,
  useResult,
} from "./call.js";
export { type ChannelStatus, type UseChannelOptions, useChannel } from "./channel.js";
export { type ConnectionState, useConnectionState } from "./connection-state.js";
export {
  TokenSocketProvider,
  type TokenSocketProviderProps,
  useIdentity,
  useTokenSocket,
} from "./context.js";
export { type UseHistory, type UseHistoryOptions, useHistory } from "./history.js";
export { type CallPath, createHooks, type Hooks, type StreamPath } from "./hooks.js";
export { type UsePresence, type UsePresenceOptions, usePresence } from "./presence.js";
export { type StreamOptions, type StreamState, useStream } from "./stream.js";
