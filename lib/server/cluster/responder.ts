import type { SocketInfo } from "../api/audience.js";
import type { PubSub } from "../channels/pubsub.js";
import type { Connection } from "../connection/connection.js";
import type { ConnectionIndex } from "../connection/connection-index.js";
import type { PendingSocket } from "../transport/socket.js";
import { type AnswerPart, type OwnAnswer, toError } from "./answers.js";
import type { Action } from "./requests.js";
import type { SocketTarget } from "./target.js";

export interface ResponderParts<Auth> {
  readonly pubsub: PubSub<Auth>;
  readonly index: ConnectionIndex<Connection<Auth>>;
  /** The connection of a socket; undefined where it has closed or has no identity. */
  readonly connectionOf: (socket: PendingSocket) => Connection<Auth> | undefined;
}

/** Carries out on sockets of this server what it, or another one, was asked to. */
export class Responder<Auth> {
  readonly #parts: ResponderParts<Auth>;

  constructor(parts: ResponderParts<Auth>) {
    this.#parts = parts;
  }

  /** This server's sockets of a target that have an identity. */
  select(target: SocketTarget): Connection<Auth>[] {
    const { pubsub, index, connectionOf } = this.#parts;
    if (target.by !== "channel") return index.select(target).filter(({ identified }) => identified);
    return [...pubsub.members(target.value)].flatMap(({ socket }) => connectionOf(socket) ?? []);
  }

  /** Carries an action out. `tell` gets the receipt at once, and then the answers that have come by the end of each turn. */
  carryOut(target: SocketTarget, action: Action, tell: (part: AnswerPart) => void): void {
    const connections = this.select(target);
    const { pubsub } = this.#parts;
    switch (action.type) {
      case "count":
        return tell({ count: connections.length });
      case "find":
        return tell(find(connections, action));
      case "send": {
        const { channel, message } = action;
        return tell(answersOf(connections, (connection) => pubsub.send(connection, channel, message)));
      }
      case "refresh":
        return tell(answersOf(connections, (connection) => connection.refresh()));
      case "disconnect": {
        const { code, reason } = action;
        const close = (connection: Connection<Auth>) => {
          connection.close({ code, reason, reconnect: true });
          return true;
        };
        return tell(answersOf(connections, close));
      }
      case "subscribe":
        return answerLater(
          connections,
          async (connection) => {
            await pubsub.join(connection, action.channel);
            return true;
          },
          tell,
        );
      case "unsubscribe":
        return answerLater(
          connections,
          (connection) => pubsub.expel(connection, action.channel).then(() => true),
          tell,
        );
      case "rpc": {
        const { command, args, timeout = Infinity } = action;
        return answerLater(connections, (connection) => connection.call(command, args, { timeout }), tell);
      }
    }
  }
}

function answersOf<Auth>(
  connections: readonly Connection<Auth>[],
  act: (connection: Connection<Auth>) => unknown,
): AnswerPart {
  return { answers: connections.map((connection) => ({ sid: connection.sid, value: act(connection) })) };
}

/** Answers that come in one turn of the event loop go together. */
function answerLater<Auth>(
  connections: readonly Connection<Auth>[],
  act: (connection: Connection<Auth>) => Promise<unknown>,
  tell: (part: AnswerPart) => void,
): void {
  let answers: OwnAnswer[] = [];
  const add = (answer: OwnAnswer) => {
    if (answers.push(answer) > 1) return;
    setImmediate(() => {
      const told = answers;
      answers = [];
      tell({ answers: told });
    });
  };
  tell({ waits: connections.map(({ sid }) => sid) });
  for (const connection of connections) {
    const { sid } = connection;
    act(connection).then(
      (value) => add({ sid, value }),
      (error: unknown) => add({ sid, error: toError(error) }),
    );
  }
}

/** A page of sockets in order of their `sid`, so that a page begins where the last one has ended, whoever came or went. */
function find<Auth>(
  connections: readonly Connection<Auth>[],
  { limit, after }: Extract<Action, { type: "find" }>,
): AnswerPart {
  const later = connections.filter(({ sid }) => sid > after).sort(bySid);
  return { found: later.slice(0, limit).map(infoOf), isMore: later.length > limit };
}

/** Compares by code units, as `>` does. */
export function bySid(a: { readonly sid: string }, b: { readonly sid: string }): number {
  return a.sid < b.sid ? -1 : Number(a.sid > b.sid);
}

function infoOf<Auth>({ sid, identity, channels, socket }: Connection<Auth>): Omit<SocketInfo, "server"> {
  const { created: since, ip: address } = socket;
  // Stryker disable next-line OptionalChaining: all that are selected have an identity
  return { sid, identity: identity?.key, channels: Object.keys(channels), since, address };
}
