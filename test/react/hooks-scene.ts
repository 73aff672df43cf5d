import { EventEmitter, once } from "node:events";
import { expect } from "chai";
import type { Browser } from "playwright-core";
import { type Procedure, procedure, RpcError, type TokenSocketServerOptions } from "../../lib/index.js";
import { type Place, Stage } from "../client/support.js";
import { launchBrowser, Tabs } from "../support/browser.js";
import { bundlePage, ReactPage, type ReactVersion, servePage } from "../support/react-page.js";

/** A page whose components use the hooks of one version of React, and the server that it talks to. */
export class HooksScene {
  browser!: Browser;
  tabs!: Tabs;
  script!: string;
  stage!: Stage;
  place!: Place;
  page!: ReactPage;
  /** What clients did on channels, in order. */
  channelEvents: string[] = [];
  /** The calls that came, in order. */
  calls: string[] = [];
  /** What the server's functions tell, and are told. */
  world = new EventEmitter();
  forbidden = new Set<string>();
  /** What a test knows that the page has complained about. */
  expected: RegExp[] = [];
  html = "";
  /** Who logs in. */
  user = "alice";

  async start(options: TokenSocketServerOptions = {}): Promise<void> {
    this.place = await this.stage.application({
      prepare: (app) => {
        servePage(app, this.script, () => this.html);
      },
      options: {
        socketController: controllerOf(this),
        authentication: () => ({ name: this.user }),
        ...options,
      },
    });
    const { tokenServer } = this.place;
    tokenServer.on("subscribe", (_socket, { channel }) => !this.forbidden.has(channel));
    tokenServer.on("subscribed", (_socket, { channel }) => this.channelEvents.push(`+${channel}`));
    tokenServer.on("unsubscribed", (_socket, { channel }) => this.channelEvents.push(`-${channel}`));
  }

  async open(): Promise<void> {
    this.page = await ReactPage.open(this.tabs, this.place.url);
    await this.page.connect();
  }

  publish(channel: string, message: unknown) {
    return this.place.tokenServer.publish(channel, message);
  }

  joined(channel: string): number {
    return this.place.tokenServer.channelSockets(channel).length;
  }
}

/** Sets a scene for each test of the suite around it. */
export function hooksScene(version: ReactVersion): HooksScene {
  const scene = new HooksScene();

  before(async () => {
    scene.browser = await launchBrowser();
    scene.tabs = await Tabs.of(scene.browser);
    scene.script = await bundlePage(version);
  });
  after(() => scene.browser.close());

  beforeEach(async () => {
    scene.stage = new Stage();
    scene.channelEvents = [];
    scene.calls = [];
    scene.world = new EventEmitter();
    scene.forbidden = new Set();
    scene.expected = [];
    scene.html = "";
    scene.user = "alice";
    await scene.start();
  });

  afterEach(async () => {
    const left = await scene.page.leftBehind();
    await scene.page.close();
    await scene.stage.clear();
    const unexpected = scene.page.problems.filter(
      (text) => !scene.expected.some((known) => known.test(text)),
    );
    expect(unexpected).to.deep.equal([]);
    expect(left).to.deep.equal({ listeners: 0, channels: [] });
  });

  return scene;
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
