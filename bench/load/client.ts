import type { ContenderDefinition } from "../contenders.js";
import { type Request, SPEECHES, type Speech } from "./dialects.js";
import { FRAMINGS, type Framing } from "./framing.js";
import { HttpSocket, RawHttp } from "./http.js";
import { RawSocket, type Receive } from "./socket.js";

/** How long a reply may take, in milliseconds. */
const PATIENCE = 30_000;

/** A client of a contender. */
export class Client {
  readonly speech: Speech;
  readonly #socket: RawSocket | HttpSocket;
  readonly #framing: Framing;
  readonly #waiting = new Map<
    string,
    { resolve: (message: string) => void; reject: (error: Error) => void }
  >();
  readonly #welcomed: Promise<string> | undefined;
  #ids = 0;
  #output = "";
  #lost: Error | undefined;
  /** Gets the frames that carry messages, in place of those that wait for replies. */
  take: Receive | undefined;
  onLost: (error: Error) => void = () => {};

  static async open(port: number, { framing, dialect }: ContenderDefinition): Promise<Client> {
    const Socket = framing === "http" ? HttpSocket : RawSocket;
    const socket = new Socket(port, FRAMINGS[framing].path());
    const client = new Client(socket, FRAMINGS[framing], SPEECHES[dialect]);
    await Promise.all([socket.upgraded, client.#welcomed]);
    return client;
  }

  private constructor(socket: RawSocket | HttpSocket, framing: Framing, speech: Speech) {
    this.#socket = socket;
    this.#framing = framing;
    this.speech = speech;
    if (framing.hasWelcome) this.#welcomed = this.#reply("welcome");
    socket.onLost = (error) => {
      this.#lost = error;
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
      this.onLost(error);
    };
    socket.receive = (buffer, start, end) => {
      if (this.take) {
        if (framing.carries(socket, buffer, start, end)) this.take(buffer, start, end);
      } else this.#read(buffer, start, end);
    };
  }

  /** Gets in with a token, where there is one. */
  async login(token: string | undefined): Promise<void> {
    const request = this.speech.login(token ?? "");
    if (request) await this.#request(request);
  }

  /** Joins a channel; with a history, from a position on. Resolves with the reply. */
  subscribe(channel: string, since?: string): Promise<string> {
    return this.#request(this.speech.subscribe(channel, ++this.#ids, since));
  }

  unsubscribe(channel: string): Promise<string> {
    return this.#request(this.speech.unsubscribe(channel, ++this.#ids));
  }

  /** Sends a message, together with the others of this turn. */
  send(message: string): void {
    if (this.#output === "") {
      queueMicrotask(() => {
        this.#socket.write(this.#output);
        this.#output = "";
      });
    }
    this.#output += this.#framing.wrap(message);
  }

  /** Answers the calls of the server from now on. */
  answer(): void {
    this.take = (buffer, start, end) => {
      for (const answer of this.speech.answers(buffer.toString("latin1", start, end))) this.send(answer);
    };
  }

  stall(): void {
    this.#socket.stall();
  }

  close(): void {
    this.onLost = () => {};
    this.#socket.close();
  }

  #request({ text, key }: Request): Promise<string> {
    const replied = this.#reply(key);
    this.send(text);
    return replied;
  }

  #reply(key: string): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#lost) return reject(this.#lost);
      const timer = setTimeout(() => reject(new Error(`No reply: ${key}`)), PATIENCE);
      const end = (settle: () => void) => {
        clearTimeout(timer);
        settle();
      };
      this.#waiting.set(key, {
        resolve: (message) => end(() => resolve(message)),
        reject: (error) => end(() => reject(error)),
      });
    });
  }

  #settle(key: string, message: string): void {
    const waiting = this.#waiting.get(key);
    this.#waiting.delete(key);
    waiting?.resolve(message);
  }

  #read(buffer: Buffer, start: number, end: number): void {
    const payload = buffer.toString("latin1", start, end);
    if (this.#framing.isWelcome(payload)) return this.#settle("welcome", payload);
    if (!this.#framing.carries(this.#socket, buffer, start, end)) return;
    for (const message of this.#framing.unwrap(payload)) {
      try {
        const key = this.speech.keyOf(message);
        if (key !== undefined) this.#settle(key, message);
      } catch (error) {
        this.#socket.onLost(error as Error);
      }
    }
  }
}

/** The channels that the client of this number joins. */
export type ChannelsOf = (index: number) => readonly string[];

/** Lets so many clients in, a few at a time: token, connection, identity, channels. */
export async function logIn(
  port: number,
  contender: ContenderDefinition,
  count: number,
  channelsOf: ChannelsOf,
  concurrency = 50,
): Promise<Client[]> {
  const clients: Client[] = [];
  const { tokenPath } = SPEECHES[contender.dialect];
  let next = 0;
  const lane = async () => {
    const http = tokenPath === undefined ? undefined : new RawHttp(port);
    try {
      while (next < count) {
        const index = next++;
        const body = await http?.get(tokenPath ?? "");
        const client = await Client.open(port, contender);
        clients[index] = client;
        await client.login(body === undefined ? undefined : JSON.parse(body).token);
        await Promise.all(channelsOf(index).map((channel) => client.subscribe(channel)));
      }
    } finally {
      http?.close();
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(concurrency, count) }, lane));
  } catch (error) {
    next = count;
    for (const client of clients) client?.close();
    throw error;
  }
  return clients;
}
