import { createClient } from "redis";
import { functionNames, setup } from "./serve.js";

interface Room<Member> {
  readonly members: Set<Member>;
  readonly onMessage: (payload: string) => void;
}

/** The sockets of each channel, and its subscription in Redis: all that the contenders without features have. */
export class Rooms<Member> {
  readonly #rooms = new Map<string, Room<Member>>();
  readonly #subscriber = createClient({ socket: { host: "127.0.0.1", port: Number(setup.redis) } });
  readonly #deliver: (members: Set<Member>, text: string) => void;

  constructor(deliver: (members: Set<Member>, text: string) => void) {
    this.#deliver = deliver;
    this.#subscriber.on("error", () => {});
  }

  async connect(): Promise<void> {
    await this.#subscriber.connect();
  }

  async join(member: Member, channel: string): Promise<void> {
    const room = this.#rooms.get(channel);
    if (room) {
      room.members.add(member);
      return;
    }
    const members = new Set([member]);
    const onMessage = (payload: string) => {
      this.#deliver(members, `{"channel":${JSON.stringify(channel)},"message":${payload}}`);
    };
    this.#rooms.set(channel, { members, onMessage });
    await this.#subscriber.subscribe(channel, onMessage);
  }

  async leave(member: Member, channel: string): Promise<void> {
    const room = this.#rooms.get(channel);
    room?.members.delete(member);
    if (room?.members.size !== 0) return;
    this.#rooms.delete(channel);
    // that of another room, of one who joins before Redis has answered, stays
    await this.#subscriber.unsubscribe(channel, room.onMessage);
  }

  leaveAll(member: Member): void {
    for (const [channel, room] of this.#rooms) {
      if (room.members.has(member)) void this.leave(member, channel);
    }
  }
}

interface Request {
  readonly id?: number;
  readonly call?: string;
  readonly data?: unknown;
  readonly answer?: number;
}

const functions = new Map(functionNames.map((name) => [name, (data: unknown) => data]));

/** One client: its requests are answered, and it can be called. */
export class Peer<Member> {
  readonly #member: Member;
  readonly #rooms: Rooms<Member>;
  readonly #send: (text: string) => void;
  readonly #waiting = new Map<number, (data: unknown) => void>();
  #ids = 0;

  constructor(member: Member, rooms: Rooms<Member>, send: (text: string) => void) {
    this.#member = member;
    this.#rooms = rooms;
    this.#send = send;
  }

  call(data: unknown): Promise<unknown> {
    return new Promise((resolve) => {
      this.#waiting.set(++this.#ids, resolve);
      this.#send(JSON.stringify({ call: this.#ids, data }));
    });
  }

  receive(text: string): void {
    const { id, call, data, answer }: Request = JSON.parse(text);
    if (answer !== undefined) {
      this.#waiting.get(answer)?.(data);
      this.#waiting.delete(answer);
      return;
    }
    if (call === "subscribe" || call === "unsubscribe") {
      const channel = String(data);
      const acting =
        call === "subscribe"
          ? this.#rooms.join(this.#member, channel)
          : this.#rooms.leave(this.#member, channel);
      void acting.then(() => this.#send(JSON.stringify({ id, resp: null })));
      return;
    }
    this.#send(JSON.stringify({ id, resp: functions.get(call ?? "")?.(data) }));
  }
}
