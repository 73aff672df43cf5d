import { randomUUID } from "node:crypto";
import { EventEmitter } from "node:events";
import { RpcError } from "node-token-sockjs";

export interface Note {
  readonly id: string;
  readonly text: string;
  readonly author: string;
}

const MOST = 20;

/** The notes of all visitors. A real application has a database. */
export class Notes extends EventEmitter<{ changed: [count: number] }> {
  readonly #notes: Note[] = [];

  list(): readonly Note[] {
    return this.#notes;
  }

  /** Throws an `RpcError`, whose message the visitor sees. */
  add(text: string, author: string): Note {
    if (this.#notes.some((note) => note.text === text)) {
      throw new RpcError("There is such a note already", { code: "E_TWICE" });
    }
    if (this.#notes.length >= MOST) throw new RpcError("There are too many notes", { code: "E_MANY" });
    const note = { id: randomUUID(), text, author };
    this.#notes.push(note);
    this.emit("changed", this.#notes.length);
    return note;
  }

  remove(id: string): void {
    const index = this.#notes.findIndex((note) => note.id === id);
    // somebody else may have been faster
    if (index === -1) return;
    this.#notes.splice(index, 1);
    this.emit("changed", this.#notes.length);
  }
}
