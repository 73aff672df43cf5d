/** Types of what goes over a server's channels; nothing here is there at run time. */

import type {
  ChannelMessage,
  ChannelName,
  ChannelOutput,
  IfUnknown,
  NameLike,
} from "../../shared/typed-calls.js";
import type { Socket } from "../transport/socket.js";

/** Decides what of a message one socket gets; see `TokenSocketServerOptions.filter`. */
export type Filter<Auth, Messages = unknown> = {
  bivariant(...args: FilterArguments<Socket<Auth>, Messages>): unknown;
}["bivariant"];

/** The names of a server's channels. */
export type Channel<Messages> = IfUnknown<Messages, string, ChannelName<Messages>>;

/** A message that the server may publish on a channel, which no schema checks. */
export type Published<Messages, Name extends string> = IfUnknown<
  Messages,
  unknown,
  ChannelOutput<Messages, Name>
>;

/** A message of a channel, as its readers get it. */
export type Delivered<Messages, Name extends string> = IfUnknown<
  Messages,
  unknown,
  ChannelMessage<Messages, Name>
>;

/** A message that a client is about to publish, as the channel's schema has made it: a union by the channels' names. */
export type PublishRequest<Messages> = IfUnknown<
  Messages,
  { readonly channel: string; data: unknown },
  {
    [Name in keyof Messages & string]: {
      readonly channel: NameLike<Name>;
      data: ChannelOutput<Messages, Name>;
    };
  }[keyof Messages & string]
>;

/** A message that a client has published, likewise, as its readers get it. */
export type PublishedMessage<Messages> = IfUnknown<
  Messages,
  { readonly channel: string; readonly data: unknown },
  {
    [Name in keyof Messages & string]: {
      readonly channel: NameLike<Name>;
      readonly data: ChannelMessage<Messages, Name>;
    };
  }[keyof Messages & string]
>;

/** The arguments of a filter, likewise. */
export type FilterArguments<Socket, Messages> = IfUnknown<
  Messages,
  [socket: Socket, channel: string, message: unknown],
  {
    [Name in keyof Messages & string]: [
      socket: Socket,
      channel: NameLike<Name>,
      message: ChannelMessage<Messages, Name>,
    ];
  }[keyof Messages & string]
>;
