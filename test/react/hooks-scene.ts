import { EventEmitter, once } from "node:events";
import { type Procedure, procedure, RpcError, type TokenSocketServerOptions } from "../../lib/index.js";
import type { Place } from "../client/support.js";
import { PageScene } from "./page-scene.js";

/** A page whose components use the hooks of one version of React, and the server that it talks to. */
export class HooksScene extends PageScene {
  place!: Place;
  /** What clients did on channels, in order. */
  channelEvents: string[] = [];
  /** The calls that came, in order. */
  calls: string[] = [];
  /** What the server's functions tell, and are told. */
  world = new EventEmitter();
  forbidden = new Set<string>();
  /** Who logs in. */
  user = "alice";

  override async begin(): Promise<void> {
    await super.begin();
    this.channelEvents = [];
    this.calls = [];
    this.world = new EventEmitter();
    this.forbidden = new Set();
    this.user = "alice";
    await this.start();
  }

  /** Starts a server in place of the one that there is. */
  async start(options: TokenSocketServerOptions = {}): Promise<void> {
    this.place = await this.stage.application({
      options: {
        socketController: controllerOf(this),
        authentication: () => ({ name: this.user }),
        ...options,
      },
    });
    this.leadTo(this.place);
    const { tokenServer } = this.place;
    tokenServer.on("subscribe", (_socket, { channel }) => !this.forbidden.has(channel));
    tokenServer.on("subscribed", (_socket, { channel }) => this.channelEvents.push(`+${channel}`));
    tokenServer.on("unsubscribed", (_socket, { channel }) => this.channelEvents.push(`-${channel}`));
  }

  publish(channel: string, message: unknown) {
    return this.place.tokenServer.publish(channel, message);
  }

  joined(channel: string): number {
    return this.place.tokenServer.channelSockets(channel).length;
  }
}

function controllerOf(scene: HooksScene) {
  return {
    echo: (_auth: unknown, data: unknown) => data,
    note: (_auth: unknown, data: unknown) => {
      scene.calls.push(JSON.stringify(data));
      return data;
    },
    fail: () => {
      throw new RpcError("Out of paper", { code: "E_PAPER" });
    },
    // answers when it is told to, with the number of the call
    slow: procedure({
      async handler({ input, signal }) {
        scene.calls.push(JSON.stringify(input));
        signal.addEventListener("abort", () => scene.world.emit("aborted", input));
        scene.world.emit("asked");
        const [answer] = await once(scene.world, `answer ${JSON.stringify(input)}`, { signal });
        return answer as unknown;
      },
    }) as Procedure,
    count: procedure({
      async *handler({ input }) {
        const { to = Infinity, prefix = "" } = input as { to?: number; prefix?: string };
        scene.calls.push(JSON.stringify(input));
        try {
          for (let i = 1; i <= to; i++) {
            scene.world.emit("item", i);
            yield `${prefix}${i}`;
          }
        } finally {
          scene.world.emit("stream ended", input);
        }
      },
    }) as Procedure,
    who: ({ name }: { name?: unknown }) => name,
    // says once who it is, and goes on
    whoEver: procedure({
      async *handler({ auth, signal }) {
        yield (auth as { name?: unknown }).name;
        await once(scene.world, "finish", { signal });
      },
    }) as Procedure,
    names: procedure({
      async *handler({ auth }) {
        for (let i = 1; ; i++) yield `${(auth as { name?: unknown }).name} ${i}`;
      },
    }) as Procedure,
    ticks: procedure({
      async *handler({ input, signal }) {
        scene.calls.push(JSON.stringify(input));
        try {
          yield "first";
          const [end] = await once(scene.world, "finish", { signal });
          if (end) throw new RpcError("Out of paper", { code: "E_PAPER" });
        } finally {
          scene.world.emit("stream ended", input);
        }
      },
    }) as Procedure,
  };
}
