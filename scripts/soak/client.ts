import { type Agent, type ClientRequest, get } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";

/** What all clients have done together. */
export class Tally {
  connected = 0;
  /** Sockets that were in, and were lost without having been closed here: by their close codes, or the errors before them. */
  readonly lost: Record<string, number> = {};
  answered = 0;
  /** Requests that were answered with an error, as they are while Redis is away. */
  refused = 0;
  /** Requests that no reply has come to before the socket closed. */
  unanswered = 0;
  messages = 0;
  /** Attempts to get in that failed, as they do while Redis is away: by what they failed with. */
  readonly shutOut: Record<string, number> = {};
  /** How long messages took, in milliseconds. */
  readonly delays: number[] = [];
}

export interface Surroundings {
  readonly url: string;
  readonly agent: Agent;
  readonly tally: Tally;
  readonly rooms: number;
  readonly signal: AbortSignal;
}

/** How long a client stays, stays away, and waits between two things that it does: at most, in milliseconds. */
const STAY = 40_000;
const ABSENCE = 2_000;
const PAUSE = 4_000;
const PATIENCE = 20_000;

const random = (below: number) => Math.floor(Math.random() * below);

/** Comes, does what clients do, goes, and comes again, until it is told to stop. */
export async function live(around: Surroundings): Promise<void> {
  const { signal, tally } = around;
  while (!signal.aborted) {
    await pause(random(ABSENCE), signal);
    if (signal.aborted) return;
    const client = new SoakClient(around);
    try {
      await client.open();
    } catch (error) {
      count(tally.shutOut, error);
      await client.close();
      continue;
    }
    const end = Date.now() + random(STAY);
    while (Date.now() < end && !signal.aborted && client.isOpen) {
      client.act();
      await pause(random(PAUSE), signal);
    }
    await client.close();
  }
}

/** Counts one thing more that went wrong, by its reason. */
function count(failures: Record<string, number>, reason: unknown): void {
  const name = reason instanceof Error ? reason.message : String(reason);
  failures[name] = (failures[name] ?? 0) + 1;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {});
}

/** One connection, in the frames of protocol 4. */
export class SoakClient {
  readonly #around: Surroundings;
  readonly #rooms = new Set<string>();
  readonly #waiting = new Map<number, (error: unknown) => void>();
  #socket: WebSocket | undefined;
  #closed: Promise<void> = Promise.resolve();
  #isClosing = false;
  #isIn = false;
  #ids = 0;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  get isOpen(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  async open(): Promise<void> {
    const { url, tally } = this.#around;
    const token = await this.#token();
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}/sockets/websocket`, {
      perMessageDeflate: false,
      handshakeTimeout: PATIENCE,
    });
    this.#socket = socket;
    this.#closed = new Promise((resolve) => {
      socket.on("close", (code) => {
        if (this.#isIn && !this.#isClosing) count(tally.lost, failure ?? code);
        end ??= failure ?? new Error(`closed with ${code}`);
        this.#fail();
        resolve();
      });
    });
    let failure: Error | undefined;
    let end: Error | undefined;
    socket.on("error", (error) => {
      failure = error;
    });
    socket.on("message", (data) => this.#receive(JSON.parse(String(data))));
    await new Promise<void>((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("close", () => reject(end));
    });
    const error = await this.request({ rpc: "auth", token, protocol: 4 }).catch(() => end);
    if (error !== undefined) throw end ?? new Error("not let in");
    this.#isIn = true;
    tally.connected++;
  }

  /** Resolves with the reply's error; rejects where the socket closes before. */
  request(frame: Record<string, unknown>): Promise<unknown> {
    const uuid = ++this.#ids;
    return new Promise((resolve, reject) => {
      if (!this.isOpen) return reject(new Error("closed"));
      this.#waiting.set(uuid, (error) => {
        if (error === CLOSED) reject(new Error("closed"));
        else resolve(error);
      });
      this.#socket?.send(JSON.stringify({ ...frame, uuid }));
    });
  }

  /** Does one of the things that clients do. */
  act(): void {
    const room = `room ${random(this.#around.rooms)}`;
    const [left] = this.#rooms;
    const what = random(8);
    if (what < 2 || this.#rooms.size === 0) {
      this.#rooms.add(room);
      this.#count(this.request({ rpc: "_subscribe", req: { channel: room } }));
    } else if (what < 3 && left !== undefined && this.#rooms.size > 1) {
      this.#rooms.delete(left);
      this.#count(this.request({ rpc: "_unsubscribe", req: { channel: left } }));
    } else if (what < 5) {
      const data = { at: Date.now(), text: "a message of the soak" };
      this.#count(this.request({ rpc: "_publish", req: { channel: left, data } }));
    } else if (what < 6) this.#count(this.request({ rpc: "later", req: { a: [1, 2, 3] } }));
    else this.#count(this.request({ rpc: "echo", req: { a: [1, 2, 3] } }));
  }

  /** Reads nothing from now on. */
  stopReading(): void {
    this.#socket?.pause();
  }

  /** Goes: in good order, or as a client does that has lost its network. */
  async close(): Promise<void> {
    this.#isClosing = true;
    const socket = this.#socket;
    if (!socket) return;
    if (socket.isPaused || random(3) === 0) socket.terminate();
    else socket.close();
    await this.#closed;
  }

  #count(replying: Promise<unknown>): void {
    const { tally } = this.#around;
    replying.then(
      (error) => {
        if (error === undefined) tally.answered++;
        else tally.refused++;
      },
      () => tally.unanswered++,
    );
  }

  #fail(): void {
    for (const settle of this.#waiting.values()) settle(CLOSED);
    this.#waiting.clear();
  }

  #receive(frame: {
    uuid?: number;
    error?: unknown;
    message?: { at?: number };
    command?: string;
    data?: { fid?: string };
  }): void {
    const { tally } = this.#around;
    if (frame.message) {
      tally.messages++;
      if (frame.message.at !== undefined) tally.delays.push(Date.now() - frame.message.at);
    } else if (frame.command === "rpc") {
      this.#socket?.send(JSON.stringify({ rpc: "_rpc", fid: frame.data?.fid, resp: { data: true } }));
    } else if (frame.uuid !== undefined) {
      const settle = this.#waiting.get(frame.uuid);
      this.#waiting.delete(frame.uuid);
      settle?.(frame.error);
    }
  }

  #token(): Promise<string> {
    const { url, agent } = this.#around;
    return new Promise((resolve, reject) => {
      const request: ClientRequest = get(`${url}/socket/token`, { agent, timeout: PATIENCE }, (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (text: string) => {
          body += text;
        });
        response.on("end", () => {
          const { token } = JSON.parse(body) as { token?: string };
          if (token === undefined) reject(new Error(`no token: ${response.statusCode}`));
          else resolve(token);
        });
        response.on("error", reject);
      });
      request.on("timeout", () => request.destroy(new Error("no answer")));
      request.on("error", reject);
    });
  }
}

const CLOSED = Symbol("closed");
