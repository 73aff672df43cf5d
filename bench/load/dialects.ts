import { mark, NUMBER_DIGITS } from "../messages.js";

/** The frames of this package's protocol 4, also with histories, and 3, Socket.IO's, those of the contenders without features, or bodies of requests. */
export type Dialect = "token 4" | "token 4 history" | "token 3" | "socket.io" | "bare" | "http";

/** A request, and by what its reply is known. */
export interface Request {
  readonly text: string;
  readonly key: string;
}

/** What a client says, and what it understands. */
export interface Speech {
  /** Where it gets its token. */
  readonly tokenPath: string | undefined;
  /** How it gets in. */
  login(token: string): Request | undefined;
  /** Joins a channel; with a history, from a position on. */
  subscribe(channel: string, id: number, since?: string): Request;
  unsubscribe(channel: string, id: number): Request;
  /** A call whose data is a marked number. */
  call(name: string, number: number): string;
  /** What a message replies to; throws where it is a refusal. */
  keyOf(message: string): string | undefined;
  /** The answers to the calls of the server in a frame. */
  answers(payload: string): string[];
}

const json = JSON.stringify;
const CALL_DATA = `[^#]*#(\\d{${NUMBER_DIGITS}})`;

function token(protocol: 3 | 4, history = false): Speech {
  // as the clients of each have them
  const idOf = (id: number) => (protocol === 4 ? id : String(id));
  const membership = (rpc: string, channel: string, id: number, since?: string): Request => ({
    text: json({ rpc, req: { channel, since }, uuid: idOf(id) }),
    // a server of version 3 does not say which request it was
    key: protocol === 4 ? String(id) : `${rpc.slice(1)} ${channel}`,
  });
  return {
    tokenPath: "/socket/token",
    login: (value) => ({
      text: json({
        rpc: "auth",
        token: value,
        uuid: idOf(0),
        ...(protocol === 4 ? { protocol } : {}),
        ...(history ? { history } : {}),
      }),
      key: "0",
    }),
    subscribe: (channel, id, since) => membership("_subscribe", channel, id, since),
    unsubscribe: (channel, id) => membership("_unsubscribe", channel, id),
    call: (name, number) => `{"rpc":"${name}","req":{"m":"${mark(number)}"},"uuid":${json(idOf(number))}}`,
    keyOf: (message) => {
      const { uuid, error, resp, command, data } = JSON.parse(message);
      if (error !== undefined) throw new Error(`Refused: ${message}`);
      if (resp !== undefined) return String(uuid);
      return protocol === 3 && command !== undefined ? `${command} ${data.channel}` : undefined;
    },
    answers: (payload) =>
      [...payload.matchAll(TOKEN_CALL)].map(
        ([, fid, digits]) => `{"rpc":"_rpc","fid":"${fid}","resp":{"data":"#${digits}"}}`,
      ),
  };
}

/** In SockJS's frames the quotes are escaped. */
const TOKEN_CALL = new RegExp(`fid\\\\?":\\\\?"([^"\\\\]+)${CALL_DATA}`, "g");
const BARE_CALL = new RegExp(`call\\\\?":(\\d+)${CALL_DATA}`, "g");
const SOCKET_IO_CALL = new RegExp(`^42(\\d+)${CALL_DATA}`);

const socketIO: Speech = {
  tokenPath: "/login",
  login: (value) => ({ text: `40${json({ token: value })}`, key: "connected" }),
  subscribe: (channel, id) => ({ text: `42${id}${json(["subscribe", channel])}`, key: String(id) }),
  unsubscribe: (channel, id) => ({ text: `42${id}${json(["unsubscribe", channel])}`, key: String(id) }),
  call: (name, number) => `42${number}["${name}",{"m":"${mark(number)}"}]`,
  keyOf: (message) => {
    if (message.startsWith("40")) return "connected";
    if (message.startsWith("44")) throw new Error(`Refused: ${message}`);
    return /^43(\d+)/.exec(message)?.[1];
  },
  answers: (payload) => {
    const [, id, digits] = SOCKET_IO_CALL.exec(payload) ?? [];
    return id === undefined ? [] : [`43${id}["#${digits}"]`];
  },
};

const bare: Speech = {
  tokenPath: undefined,
  login: () => undefined,
  subscribe: (channel, id) => ({ text: json({ id, call: "subscribe", data: channel }), key: String(id) }),
  unsubscribe: (channel, id) => ({ text: json({ id, call: "unsubscribe", data: channel }), key: String(id) }),
  call: (name, number) => `{"id":${number},"call":"${name}","data":{"m":"${mark(number)}"}}`,
  keyOf: (message) => {
    const { id } = JSON.parse(message);
    return id === undefined ? undefined : String(id);
  },
  answers: (payload) =>
    [...payload.matchAll(BARE_CALL)].map(([, id, digits]) => `{"answer":${id},"data":"#${digits}"}`),
};

export const SPEECHES: Readonly<Record<Dialect, Speech>> = {
  "token 4": token(4),
  "token 4 history": token(4, true),
  "token 3": token(3),
  "socket.io": socketIO,
  bare,
  // it has calls alone
  http: { ...bare, call: (_name, number) => `{"m":"${mark(number)}"}` },
};
