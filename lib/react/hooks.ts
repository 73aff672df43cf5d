import type { ReactElement } from "react";
import type { RequestOptions } from "../client/calls/requests.js";
import type { TokenSocket } from "../client/token-socket.js";
import type {
  CallArguments,
  CallData,
  CallItem,
  CallResult,
  ChannelMessage,
  ChannelName,
  Json,
  MemberInfo,
  MemberInput,
  MemberState,
  PathOf,
} from "../shared/typed-calls.js";
import { type ResultOptions, type UseCall, type UseResult, useCall, useResult } from "./call.js";
import { type ChannelStatus, type UseChannelOptions, useChannel } from "./channel.js";
import { type ConnectionState, useConnectionState } from "./connection-state.js";
import {
  TokenSocketProvider,
  type TokenSocketProviderProps,
  useIdentity,
  useTokenSocket,
} from "./context.js";
import { type UseHistory, type UseHistoryOptions, useHistory } from "./history.js";
import { type UsePresence, type UsePresenceOptions, usePresence } from "./presence.js";
import { type StreamOptions, type StreamState, useStream } from "./stream.js";

/** The paths of functions that stream. */
export type StreamPath<Server> = keyof Server extends never
  ? string
  : { [Path in PathOf<Server>]: [CallItem<Server, Path>] extends [never] ? never : Path }[PathOf<Server>];

/** The paths of functions that answer once. */
export type CallPath<Server> = keyof Server extends never
  ? string
  : { [Path in PathOf<Server>]: [CallItem<Server, Path>] extends [never] ? Path : never }[PathOf<Server>];

type Name<Messages> = keyof Messages extends never ? string : ChannelName<Messages>;
type Message<Messages, Name extends string> = keyof Messages extends never
  ? unknown
  : ChannelMessage<Messages, Name>;
type Data<Server, Path> = keyof Server extends never ? unknown : CallData<Server, Path>;
type Answer<Server, Path> = keyof Server extends never ? unknown : CallResult<Server, Path>;
type Item<Server, Path> = keyof Server extends never ? unknown : CallItem<Server, Path>;
type CallArgs<Server, Path> = keyof Server extends never
  ? [input?: unknown, options?: RequestOptions | null]
  : CallArguments<Server, Path, RequestOptions>;

/** The arguments of a hook after a path; the input may be left out if the function does without. */
type Rest<Input, Options> = undefined extends Input
  ? [input?: Input, options?: Options]
  : [input: Input, options?: Options];

type PresenceOf<Members, Name extends string> = keyof Members extends never
  ? UsePresence
  : UsePresence<MemberInfo<Members, Name>, MemberState<Members, Name>, MemberInput<Members, Name>>;

type Shown<Identity> = keyof Identity extends never ? unknown : Json<Identity> | undefined;

/** The hooks with the types of one server. */
export interface Hooks<Server, Messages, Identity = unknown, Members = unknown> {
  TokenSocketProvider(
    props: TokenSocketProviderProps<TokenSocket<Server, Messages, Identity, Members>>,
  ): ReactElement;
  useTokenSocket(): TokenSocket<Server, Messages, Identity, Members> | null;
  useIdentity(): Shown<Identity>;
  useConnectionState(): ConnectionState;
  useChannel<Channel extends Name<Messages>>(
    name: Channel | "" | null | undefined,
    onMessage: (message: Message<Messages, Channel>) => unknown,
    options?: UseChannelOptions,
  ): ChannelStatus;
  useHistory<Channel extends Name<Messages>>(
    name: Channel | "" | null | undefined,
    options?: UseHistoryOptions,
  ): UseHistory<Message<Messages, Channel>>;
  usePresence<Channel extends Name<Members>>(
    name: Channel | "" | null | undefined,
    options?: UsePresenceOptions,
  ): PresenceOf<Members, Channel>;
  useCall<Path extends CallPath<Server>>(path: Path): UseCall<CallArgs<Server, Path>, Answer<Server, Path>>;
  useResult<Path extends CallPath<Server>>(
    path: Path,
    ...rest: Rest<Data<Server, Path>, ResultOptions>
  ): UseResult<Answer<Server, Path>>;
  useStream<Path extends StreamPath<Server>>(
    path: Path,
    ...rest: Rest<Data<Server, Path>, StreamOptions<Item<Server, Path>>>
  ): StreamState<Item<Server, Path>>;
}

/**
 * The hooks for one server: paths, inputs, results, channels and messages have its types. `Server` is the type of
 * its `socketController`, `Messages` that of its `channels`, `Identity` that of what its `showIdentity` gives, `Members` that of its
 * `presence`.
 */
export function createHooks<
  Server = unknown,
  Messages = unknown,
  Identity = unknown,
  Members = unknown,
>(): Hooks<Server, Messages, Identity, Members> {
  return {
    TokenSocketProvider,
    useTokenSocket,
    useIdentity,
    useConnectionState,
    useChannel,
    useHistory,
    usePresence,
    useCall,
    useResult,
    useStream,
  } as unknown as Hooks<Server, Messages, Identity, Members>;
}
