import { expect } from "chai";
import { build } from "esbuild";
import { installPackage } from "./installed-package.js";

describe("a bundle for browsers", () => {
  let project: string;

  before(async function () {
    this.timeout(300_000);
    project = await installPackage();
  });

  /** Bundles a page's script; gives the text. */
  async function bundle(contents: string): Promise<string> {
    const { outputFiles } = await build({
      stdin: { contents, resolveDir: project },
      bundle: true,
      write: false,
      format: "esm",
      platform: "browser",
      logLevel: "silent",
      external: ["react"],
    });
    return outputFiles.map(({ text }) => text).join("");
  }

  const CLIENT = 'import { TokenSocket } from "node-token-sockjs/client"; console.log(TokenSocket);';

  it("has the code of presence only where that is imported", async () => {
    expect(await bundle(CLIENT)).not.to.include("_presence");
    expect(await bundle(`import "node-token-sockjs/client/presence"; ${CLIENT}`)).to.include("_presence");
    expect(await bundle(`${CLIENT} import "node-token-sockjs/client/presence";`)).to.include("_presence");
  });

  it("says what is missing where it is not", async () => {
    const script = await bundle(`
      import { TokenSocket } from "node-token-sockjs/client";
      export function observe() {
        const socket = new TokenSocket({ host: "localhost", reconnect: false, fetch: () => new Promise(() => {}) });
        try {
          socket.presence("room");
        } finally {
          socket.end();
        }
      }
    `);
    const page = (await import(`data:text/javascript,${encodeURIComponent(script)}`)) as { observe(): void };
    expect(() => page.observe()).to.throw(
      'There is no presence here: import "node-token-sockjs/client/presence"',
    );
  });
});
