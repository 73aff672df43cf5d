import { DisconnectedError } from "../../shared/call-errors.js";
import { isMessageId } from "../../shared/protocol.js";
import type { Histories } from "../history/histories.js";
import type { HistoryOptions, HistoryResult, PublishOptions } from "../history/kept-message.js";
import type { Limits } from "../limits/limits.js";
import type { Commands } from "../log/commands.js";
import type { PresenceList } from "../presence/member.js";
import type { Presence } from "../presence/presence.js";
import type { PendingSocket, Socket } from "../transport/socket.js";
import type { Subscriber } from "./membership.js";
import { checkChannel, type PubSub, pubSubIsOff } from "./pubsub.js";

export interface ChannelCommandsParts<Auth> {
  readonly commands: Commands;
  readonly pubsub: PubSub<Auth>;
  readonly histories: Histories;
  readonly presence: Presence;
  readonly limits: Limits;
  /** The connection of a socket; undefined where it has closed, has not authenticated, or is not of this server. */
  readonly connectionOf: (socket: PendingSocket) => Subscriber<Auth> | undefined;
  /** Lets all sockets of all servers leave a channel. */
  readonly unsubscribeAll: (channel: string) => Promise<void>;
}

/** The server's own methods for channels: no guard decides on them, but their arguments are checked. */
export class ChannelCommands<Auth> {
  readonly #parts: ChannelCommandsParts<Auth>;

  constructor(parts: ChannelCommandsParts<Auth>) {
    this.#parts = parts;
  }

  /** The channels that sockets of this server have joined. */
  channels(): string[] {
    return this.#parts.pubsub.channels();
  }

  /** This server's sockets in a channel. */
  sockets(channel: string): Socket<Auth>[] {
    return [...this.#parts.pubsub.members(channel)].map(({ socket }) => socket);
  }

  /** Resolves with the message's position, where the channel has a history. */
  publish(channel: string, data: unknown, options: PublishOptions = {}): Promise<string | undefined> {
    return this.#run("publishing on", channel, async () => {
      const { pubsub, limits } = this.#parts;
      const { id, except } = readOptions(options, limits);
      return (await pubsub.publish(channel, data, id, except))?.at;
    });
  }

  history(channel: string, options: HistoryOptions = {}): Promise<HistoryResult> {
    return this.#run("reading the history of", channel, () => this.#parts.histories.read(channel, options));
  }

  presence(channel: string): Promise<PresenceList> {
    return this.#run("reading the members of", channel, () => this.#parts.presence.read(channel));
  }

  broadcast(data: unknown): Promise<void> {
    return this.#parts.commands.run("a broadcast failed", async () => {
      this.#checkEnabled();
      await this.#parts.pubsub.broadcast(data);
    });
  }

  subscribe(socket: PendingSocket, channel: string): Promise<void> {
    return this.#run("subscribing to", channel, async () => {
      await this.#parts.pubsub.join(this.#connectionOf(socket), channel);
    });
  }

  unsubscribe(socket: PendingSocket, channel: string): Promise<void> {
    return this.#run("unsubscribing from", channel, () =>
      this.#parts.pubsub.expel(this.#connectionOf(socket), channel),
    );
  }

  unsubscribeAll(channel: string): Promise<void> {
    return this.#run("unsubscribing all from", channel, () => this.#parts.unsubscribeAll(channel));
  }

  /** Sends a message to one socket, and says whether it was sent. */
  send(socket: PendingSocket, channel: string, message: unknown): boolean {
    const { pubsub, limits, connectionOf } = this.#parts;
    checkChannel(channel, limits);
    const connection = connectionOf(socket);
    return connection !== undefined && pubsub.send(connection, channel, message);
  }

  #run<T>(doing: string, channel: string, act: () => Promise<T>): Promise<T> {
    return this.#parts.commands.run(`${doing} ${quoted(channel)} failed`, async () => {
      this.#checkEnabled();
      checkChannel(channel, this.#parts.limits);
      return act();
    });
  }

  #checkEnabled(): void {
    if (!this.#parts.pubsub.enabled) throw pubSubIsOff();
  }

  #connectionOf(socket: PendingSocket): Subscriber<Auth> {
    const connection = this.#parts.connectionOf(socket);
    if (connection) return connection;
    throw new DisconnectedError(
      false,
      "The socket has closed, has not authenticated, or is not of this server",
    );
  }
}

function readOptions(
  { id, except, ...others }: PublishOptions,
  { idLength }: Limits,
): { readonly id: string | undefined; readonly except: string | undefined } {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new TypeError(`options.${unknown} is no option of publish()`);
  if (except !== undefined && typeof except?.sid !== "string") {
    throw new TypeError("options.except must be a socket");
  }
  if (id === undefined || isMessageId(id, idLength)) return { id, except: except?.sid };
  throw new TypeError(
    `options.id must be a well-formed string of 1 to ${idLength} characters (limits.idLength)`,
  );
}

/** A channel's name for a message, whatever it is. */
function quoted(channel: unknown): string {
  return typeof channel === "string" ? JSON.stringify(channel) : `a ${typeof channel}`;
}
