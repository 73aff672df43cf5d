/** What runs in the page of a test. */

import { createElement, version } from "react";
import { flushSync } from "react-dom";
import { createRoot, hydrateRoot, type Root } from "react-dom/client";
import { TokenSocket, type TokenSocketEvents } from "../../../lib/client/index.js";
import { forgetNotes, notes, Page, type Part } from "./parts.js";

type Container = Parameters<typeof createRoot>[0];

type Listener<E extends keyof TokenSocketEvents> = (...args: TokenSocketEvents[E]) => unknown;

/** A client that knows how many listeners it has. */
class CountedSocket extends TokenSocket {
  listeners = 0;

  override on<E extends keyof TokenSocketEvents>(event: E, listener: Listener<E>): this {
    this.listeners++;
    return super.on(event, listener);
  }

  override off<E extends keyof TokenSocketEvents>(event: E, listener: Listener<E>): this {
    this.listeners--;
    return super.off(event, listener);
  }
}

const { document } = globalThis as unknown as {
  document: { body: { innerHTML: string }; getElementById(id: string): Container };
};

let root: Root | undefined;
const sockets: CountedSocket[] = [];
let current: CountedSocket | null = null;

/** Has a new element for components, with some HTML in it. */
function fill(html: string): Container {
  document.body.innerHTML = `<div id="root">${html}</div>`;
  return document.getElementById("root");
}

/** What a test does in the page. */
export const lab = {
  version,
  notes,
  /** Makes it a page that nothing has happened on. */
  clear(): void {
    fill("");
    current = null;
    forgetNotes();
  },
  /** Makes another client the one of the page. */
  connect(): void {
    current = new CountedSocket({ backoff: { min: 10, max: 50 } });
    sockets.push(current);
  },
  get socket(): TokenSocket {
    if (!current) throw new Error("the page has no client");
    return current;
  },
  render(parts: readonly Part[]): void {
    root ??= createRoot(document.getElementById("root"));
    const shown = root;
    // all of it now, effects included, so that a test knows what is mounted
    flushSync(() => shown.render(createElement(Page, { socket: current, parts })));
  },
  /** Goes on from what a server has rendered. */
  hydrate(html: string, parts: readonly Part[]): void {
    root = hydrateRoot(
      fill(html) as Parameters<typeof hydrateRoot>[0],
      createElement(Page, { socket: current, parts }),
    );
  },
  unmount(): void {
    root?.unmount();
    root = undefined;
  },
  /** Resolves when what the page has put off has happened, and the server has seen all that was sent. */
  async settle(): Promise<void> {
    for (let i = 0; i < 2; i++) await new Promise((resolve) => setTimeout(resolve, 0));
    if (current?.state === "open") await current.rpc("echo");
  },
  /** How many listeners all clients have. */
  listeners: (): number => sockets.reduce((sum, socket) => sum + socket.listeners, 0),
  end: () => Promise.all(sockets.splice(0).map((socket) => socket.end())),
};

export type Lab = typeof lab;

Object.assign(globalThis, { lab });
