import { createServer, type Server } from "node:http";
import { type WebSocket, WebSocketServer } from "ws";

/** A message that is kept. */
interface Entry {
  readonly message: unknown;
  readonly at: string;
  readonly time: number;
}

type Frame = {
  readonly rpc: string;
  readonly uuid?: string;
  readonly req: {
    readonly channel: string;
    readonly data?: unknown;
    readonly id?: string;
    readonly again?: boolean;
    readonly since?: string;
    readonly before?: string;
    readonly last?: number;
  };
} & Record<string, unknown>;

/** The time of the first message; each next one comes a second later. */
const BEGINNING = 1_767_225_600_000;

/**
 * A server that speaks protocol 4 and keeps the history of the channels whose names begin with "room", in one process and
 * without limits. A test may take frames before it does, send what it likes, and change its history.
 */
export class HistoryServer {
  readonly http: Server;
  /** Each frame that came, in order. */
  readonly frames: Frame[] = [];
  readonly connections = new Set<WebSocket>();
  readonly members = new Map<string, Set<WebSocket>>();
  readonly entries = new Map<string, Entry[]>();
  readonly #ids = new Map<string, string>();
  #kept = 0;
  /** What the reply to `auth` says of the server. */
  server: object = { protocol: 4, history: true };
  epoch = "e1";
  /** Takes a frame instead of the server, where it returns true. */
  intercept: (frame: Frame, socket: WebSocket) => boolean = () => false;

  constructor() {
    this.http = createServer((_req, res) => {
      res.writeHead(200, { "Content-Type": "application/json" });
      res.end(JSON.stringify({ token: "3f0f9d70-6c4c-4b3f-9c59-0a1f6f0c5b11" }));
    });
    const server = new WebSocketServer({ server: this.http, path: "/sockets/websocket" });
    server.on("connection", (socket) => {
      this.connections.add(socket);
      socket.on("close", () => {
        this.connections.delete(socket);
        for (const sockets of this.members.values()) sockets.delete(socket);
      });
      socket.on("message", (data) => {
        const frame = JSON.parse(String(data)) as Frame;
        this.frames.push(frame);
        if (!this.intercept(frame, socket)) this.answer(frame, socket);
      });
    });
  }

  /** The requests of one kind that came, but for their ids. */
  requests(rpc: string): unknown[] {
    return this.frames.filter((frame) => frame.rpc === rpc).map(({ req }) => req);
  }

  /** Cuts all connections. */
  cut(): void {
    for (const socket of this.connections) socket.terminate();
  }

  send(socket: WebSocket, ...frames: unknown[]): void {
    for (const frame of frames) socket.send(JSON.stringify(frame));
  }

  sendAll(...frames: unknown[]): void {
    for (const socket of this.connections) this.send(socket, ...frames);
  }

  /** Keeps a message, and sends it to the members. */
  publish(channel: string, message: unknown): Entry {
    const entry = this.keep(channel, message);
    for (const socket of this.members.get(channel) ?? []) this.send(socket, this.frame(channel, entry));
    return entry;
  }

  /** Keeps a message, and sends it to nobody. */
  keep(channel: string, message: unknown): Entry {
    const log = this.log(channel);
    const number = this.number(log.at(-1)?.at) + 1;
    const entry = {
      message,
      at: `${this.epoch}.${number}.t${++this.#kept}`,
      time: BEGINNING + 1000 * number,
    };
    log.push(entry);
    return entry;
  }

  log(channel: string): Entry[] {
    const log = this.entries.get(channel) ?? [];
    this.entries.set(channel, log);
    return log;
  }

  frame(channel: string, entry: Entry): unknown {
    return { channel, ...entry };
  }

  /** The position of a channel's newest message. */
  newest(channel: string): string {
    return this.log(channel).at(-1)?.at ?? `${this.epoch}.0.0`;
  }

  number(at = ""): number {
    return Number(at.split(".")[1] ?? 0);
  }

  /** The entries after a position, or the last ones, and what of them is lost. */
  after({ since, last }: Frame["req"], channel: string): { entries: Entry[]; lost?: object } {
    const log = this.log(channel);
    if (!since) return { entries: last ? log.slice(-last) : [] };
    if (!since.startsWith(`${this.epoch}.`)) {
      return { entries: log, lost: { messages: null, reason: "reset" } };
    }
    const index = log.findIndex(({ at }) => at === since);
    if (index >= 0) return { entries: log.slice(index + 1) };
    const messages = this.number(log[0]?.at) - this.number(since) - 1;
    if (log.length === 0 || messages === 0) return { entries: log };
    if (messages > 0) return { entries: log, lost: { messages, reason: "trimmed" } };
    return { entries: log, lost: { messages: null, reason: "diverged" } };
  }

  join(frame: { readonly req: Frame["req"] }, socket: WebSocket): void {
    const { channel } = frame.req;
    const members = this.members.get(channel) ?? new Set();
    this.members.set(channel, members.add(socket));
    this.send(socket, { internal: true, command: "subscribe", data: { ...frame, channel } });
  }

  /** Joins a client to a channel by the server's doing, from the position that it has given with its token. */
  joinItself(channel: string, socket: WebSocket): void {
    const auth = this.frames.findLast(({ rpc }) => rpc === "auth");
    const positions = (auth?.positions ?? {}) as Record<string, string>;
    const members = this.members.get(channel) ?? new Set();
    this.members.set(channel, members.add(socket));
    this.send(socket, { internal: true, command: "subscribe", data: { channel } });
    this.send(socket, { channel, ...this.#bring({ channel, since: positions[channel] ?? "" }, socket) });
  }

  /** Sends what a client has missed, and what of it is lost; gives the end of it. */
  #bring(req: Frame["req"], socket: WebSocket): object {
    const { channel } = req;
    const { entries, lost } = this.after(req, channel);
    if (lost) this.send(socket, { channel, lost, at: `${this.epoch}.${this.number(entries[0]?.at) - 1}.t` });
    this.send(socket, ...entries.map((entry) => this.frame(channel, entry)));
    return { at: this.newest(channel), recovered: entries.length, lost };
  }

  answer(frame: Frame, socket: WebSocket): void {
    const { rpc, uuid, req } = frame;
    const reply = (resp: unknown) => this.send(socket, { rpc, uuid, resp });
    const fail = (code: string) => this.send(socket, { rpc, uuid, error: { message: code, code } });
    if (rpc === "auth") return this.send(socket, { rpc, uuid, resp: "success", server: this.server });
    const { channel } = req;
    const isKept = channel?.startsWith("room");
    if (channel === "secret") return fail("forbidden");
    if (rpc === "_subscribe") {
      if (req.since !== undefined && req.last !== undefined) return fail("invalid");
      this.join(frame, socket);
      if (!isKept || (req.since === undefined && req.last === undefined)) return reply("success");
      return reply(this.#bring(req, socket));
    }
    if (rpc === "_unsubscribe") {
      this.members.get(channel)?.delete(socket);
      this.send(socket, { internal: true, command: "unsubscribe", data: { channel } });
      return reply("success");
    }
    if (rpc === "_history") return isKept ? reply(this.#read(req)) : fail("no_history");
    if (rpc === "_publish" && !isKept && req.again) return fail("no_history");
    if (rpc === "_publish" && isKept) {
      const first = req.id && this.#ids.get(req.id);
      const at = first || this.publish(channel, req.data).at;
      if (req.id) this.#ids.set(req.id, at);
      return reply({ at });
    }
    if (rpc === "_publish") {
      for (const member of this.members.get(channel) ?? []) this.send(member, { channel, message: req.data });
    }
    reply(rpc === "echo" ? req : "success");
  }

  #read({ channel, before, last = 10 }: Frame["req"]): object {
    const log = this.log(channel).filter(({ at }) => !before || this.number(at) < this.number(before));
    const messages = log.slice(-last);
    return {
      messages,
      at: this.newest(channel),
      ...(log.length > last && { more: true, before: messages[0]?.at }),
    };
  }
}
