// The types of the client's events, and of its methods by those of the server.

import type {
  CallArguments,
  CallData,
  CallReply,
  CallResult,
  ChannelInput,
  ChannelMessage,
  ChannelName,
  IfUnknown,
  Json,
  MemberInfo,
  MemberInput,
  MemberState,
  PathOf,
} from "../shared/typed-calls.js";
import type { RequestOptions } from "./calls/requests.js";
import type { State } from "./connection/connection.js";
import type { Loss, MessageInfo } from "./history.js";

/** The events of a `TokenSocket`, and what their listeners get. */
export interface TokenSocketEvents<Identity = unknown> {
  /** The connection is there for the first time. */
  ready: [];
  /** The connection is back, with its channels. */
  reconnect: [];
  /** A message on a channel; `info` is there on channels with a history. */
  message: [channel: string, message: unknown, info?: MessageInfo | undefined];
  /** The messages of a channel that were missed, or asked for, have come as far as they are there; `messages` counts them. */
  recovered: [channel: string, recovery: { readonly messages: number }];
  /** Messages of a channel do not come. */
  lost: [channel: string, loss: Loss];
  /** The connection is in another state; `reason` says why it is not open. */
  state: [state: State, previous: State, reason: Error | undefined];
  /** The client is known as another identity than before, or may be another one; undefined is what is not shown. */
  identity: [identity: Shown<Identity>, previous: Shown<Identity>];
  /** A channel was joined, by the client's doing or the server's. */
  subscribed: [channel: string];
  /** A channel was left; with an error where the server does not let the client stay, or in again after a reconnect. */
  unsubscribed: [channel: string, error: Error | undefined];
}

/** Hears how a call has ended. */
export type Callback<Value = unknown> = (error: Error | null, value?: Value) => unknown;

/** The calls of a server without types: any name may be called. */
export type AnyName<Known> = IfUnknown<Known, string, never>;

/** The paths that may be called. The last signature takes any where none is known, for TypeScript tells that one's mistake. */
export type Path<Server> = IfUnknown<Server, string, PathOf<Server>>;
export type Data<Server, Path> = IfUnknown<Server, unknown, CallData<Server, Path>>;
export type Arguments<Server, Path> = IfUnknown<
  Server,
  [data?: unknown, options?: RequestOptions | null],
  CallArguments<Server, Path, RequestOptions>
>;

/** The result of a call of such a path, and the value with which it resolves. */
export type Answer<Server, Path> = IfUnknown<Server, unknown, CallReply<Server, Path>>;
export type Result<Server, Path> = IfUnknown<Server, unknown, CallResult<Server, Path>>;

export type Channel<Channels> = IfUnknown<Channels, string, ChannelName<Channels>>;
export type Published<Channels, Name extends string> = IfUnknown<
  Channels,
  unknown,
  ChannelInput<Channels, Name>
>;
export type Received<Channels, Name extends string> = IfUnknown<
  Channels,
  unknown,
  ChannelMessage<Channels, Name>
>;

/** What is known of a channel's members, and what they may set. */
export type InfoOf<Members, Name extends string> = IfUnknown<Members, unknown, MemberInfo<Members, Name>>;
export type StateOf<Members, Name extends string> = IfUnknown<Members, unknown, MemberState<Members, Name>>;
export type InputOf<Members, Name extends string> = IfUnknown<Members, unknown, MemberInput<Members, Name>>;

/** The part of an identity that the server shows. */
export type Shown<Identity> = IfUnknown<Identity, unknown, Json<Identity> | undefined>;
