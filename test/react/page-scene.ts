import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect } from "chai";
import type { Browser } from "playwright-core";
import { type Place, Stage } from "../client/support.js";
import { launchBrowser, Tabs } from "../support/browser.js";
import {
  bundlePage,
  pageServer,
  REACT_VERSIONS,
  ReactPage,
  type ReactVersion,
} from "../support/react-page.js";

/**
 * A page with one version of React, whose tests have a server each. It is loaded once, since this is most of what a test
 * would cost; its port leads to one server after the other.
 */
export class PageScene {
  readonly version: ReactVersion;
  page!: ReactPage;
  /** What the test starts. */
  stage!: Stage;
  /** What the test knows that the page complains about. */
  expected: RegExp[] = [];
  #place: Place | undefined;
  readonly #port = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    if (this.#place) this.#place.http.emit("connection", socket);
    else socket.destroy();
  });

  constructor(version: ReactVersion) {
    this.version = version;
  }

  async load(tabs: Tabs): Promise<void> {
    const script = await bundlePage(this.version);
    this.#port.listen(0, "127.0.0.1");
    await once(this.#port, "listening");
    this.stage = new Stage();
    this.leadTo(await this.stage.server(pageServer(script)));
    const { port } = this.#port.address() as AddressInfo;
    this.page = await ReactPage.open(tabs, `http://127.0.0.1:${port}`);
    await this.#leave();
  }

  /** From now on all that connects to the page's port comes to this place. */
  leadTo(place: Place): void {
    this.#place = place;
  }

  async begin(): Promise<void> {
    this.stage = new Stage();
    this.expected = [];
    await this.page.begin();
  }

  /** Ends what the test has begun, and looks for what it has left in the page. */
  async end(): Promise<void> {
    const left = await this.page.end();
    await this.#leave();
    const problems = this.page.problems.splice(0);
    const unexpected = problems.filter((text) => !this.expected.some((known) => known.test(text)));
    expect(unexpected).to.deep.equal([]);
    expect(left).to.deep.equal({ listeners: 0, channels: [] });
  }

  async close(): Promise<void> {
    await this.page.close();
    this.#port.close();
  }

  async #leave(): Promise<void> {
    this.#place = undefined;
    await this.stage.clear();
  }
}

/** A suite of the tests with each version of React, whose pages are of one browser. */
export function withEachReact<Scene extends PageScene>(
  title: string,
  SceneOf: new (version: ReactVersion) => Scene,
  tests: (scene: Scene) => void,
): void {
  describe(title, () => {
    let browser: Browser;
    let tabs: Tabs;

    before(async () => {
      browser = await launchBrowser();
      tabs = await Tabs.of(browser);
    });
    after(() => browser.close());

    for (const version of REACT_VERSIONS) {
      describe(`with React ${version}`, () => {
        const scene = new SceneOf(version);
        before(() => scene.load(tabs));
        after(() => scene.close());
        beforeEach(() => scene.begin());
        afterEach(() => scene.end());
        tests(scene);
      });
    }
  });
}
