import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect } from "chai";

const SCRIPT = join(import.meta.dirname, "../../scripts/watch.mjs");

describe("scripts/watch.mjs", () => {
  let folder: string;
  let watching: ChildProcess | undefined;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "watch-"));
  });
  afterEach(async () => {
    if (watching?.exitCode === null && watching.signalCode === null) {
      watching.kill("SIGKILL");
      await once(watching, "exit");
    }
    await rm(folder, { recursive: true });
  });

  /** Watches the folder; gives the lines that the command prints, one after the other. */
  function start(code: string): AsyncIterator<string> {
    const child = spawn(process.execPath, [SCRIPT, folder, "--", process.execPath, "-e", code], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    watching = child;
    return createInterface(child.stdout)[Symbol.asyncIterator]();
  }

  it("ends what runs and runs it again when a file changes, and ends with it when told to", async () => {
    const lines = start(`
      process.on("SIGINT", () => { console.log("ended"); process.exit(); });
      console.log(process.pid);
      setInterval(() => {}, 1000);
    `);
    const { value: first } = await lines.next();
    await writeFile(join(folder, "changed.txt"), "1");
    expect((await lines.next()).value).to.equal("ended");
    const { value: second } = await lines.next();
    expect(second).to.match(/^\d+$/).and.not.equal(first);
    watching?.kill("SIGTERM");
    expect((await lines.next()).value).to.equal("ended");
    expect((await lines.next()).done).to.equal(true);
  });

  it("runs again what has ended by itself", async () => {
    const lines = start("console.log('ran')");
    await lines.next();
    await writeFile(join(folder, "changed.txt"), "1");
    expect((await lines.next()).value).to.equal("ran");
  });

  it("says how it is used where it is not told what to run", async () => {
    const child = spawn(process.execPath, [SCRIPT, folder], { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.on("data", (chunk) => {
      said += chunk;
    });
    const [code] = await once(child, "close");
    expect(code).to.equal(1);
    expect(said).to.match(/^usage: /);
  });
});
