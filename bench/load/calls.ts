import { MARK, NUMBER_DIGITS, readDigits } from "../messages.js";
import type { Client } from "./client.js";

const MARK_BYTE = MARK.charCodeAt(0);
const NUMBERS = 10 ** NUMBER_DIGITS;

/** What of a client is needed here. */
export type Caller = Pick<Client, "take" | "onLost" | "send" | "speech">;

/** How long calls may take when no further ones are made, in milliseconds. */
const PATIENCE = 15_000;

/** Calls a function of the server from each client, so many times at once. */
export class Calls {
  readonly #clients: readonly Caller[];
  readonly #waiting: Set<number>[];
  #next = 0;
  #answered = 0;
  #underWay = 0;
  #failure: Error | undefined;
  #end = 0;
  #onEnd: () => void = () => {};
  #name = "";

  readonly #getsMessages: boolean;

  /** `getsMessages` says that the clients get something beside answers. */
  constructor(clients: readonly Caller[], getsMessages = false) {
    this.#getsMessages = getsMessages;
    this.#clients = clients;
    this.#waiting = clients.map(() => new Set());
    clients.forEach((client, index) => {
      client.take = (buffer, start, end) => this.#take(client, index, buffer, start, end);
      client.onLost = (error) => this.#fail(error);
    });
  }

  /** Calls for so long, and waits for the last answer. Resolves with the number of calls; each had one answer. */
  async run(name: string, outstanding: number, milliseconds: number): Promise<number> {
    const before = this.#answered;
    this.#name = name;
    this.#end = performance.now() + milliseconds;
    const ended = new Promise<void>((resolve) => {
      this.#onEnd = resolve;
    });
    const timer = setTimeout(() => this.#fail(new Error("Calls are not answered")), milliseconds + PATIENCE);
    this.#clients.forEach((client, index) => {
      for (let count = 0; count < outstanding; count++) this.#call(client, index);
    });
    await ended;
    clearTimeout(timer);
    if (this.#failure) throw this.#failure;
    return this.#answered - before;
  }

  #call(client: Caller, index: number): void {
    const number = this.#next;
    this.#next = (number + 1) % NUMBERS;
    this.#waiting[index]?.add(number);
    this.#underWay++;
    client.send(client.speech.call(this.#name, number));
  }

  #take(client: Caller, index: number, buffer: Buffer, start: number, end: number): void {
    let at = buffer.indexOf(MARK_BYTE, start);
    const isAnswer = at !== -1 && at < end;
    if (!isAnswer && this.#getsMessages) return;
    if (!isAnswer) this.#fail(new Error(`No answer: ${buffer.toString("latin1", start, end)}`));
    while (at !== -1 && at < end) {
      const number = readDigits(buffer, at + 1, NUMBER_DIGITS);
      if (!this.#waiting[index]?.delete(number)) this.#fail(new Error(`An answer to no call: ${number}`));
      this.#answered++;
      this.#underWay--;
      if (performance.now() < this.#end && !this.#failure) this.#call(client, index);
      at = buffer.indexOf(MARK_BYTE, at + 1);
    }
    if (this.#underWay === 0) this.#onEnd();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#onEnd();
  }
}
