import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { expect } from "chai";
import { ROOT } from "./installed-package.js";
import { codeOf, tablesUnder } from "./markdown.js";

const DOCUMENT = readFileSync(join(ROOT, "docs/architecture.md"), "utf8");
const SERVER = join(ROOT, "lib/server");

/** The folders of the server as the document lists them, from the top down. */
const FOLDERS = (tablesUnder(DOCUMENT, "Folders")[1] ?? []).map(([name]) => codeOf(name)?.replace("/", ""));

describe("docs/architecture.md", () => {
  it("has each folder of the server", () => {
    const folders = readdirSync(SERVER, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(FOLDERS).to.have.members(folders.map(({ name }) => name));
  });

  it("has the folders in an order in which each imports from those below it alone", () => {
    const upwards: string[] = [];
    for (const file of readdirSync(SERVER, { recursive: true, encoding: "utf8" })) {
      const [folder = "", ...rest] = file.split(sep);
      if (rest.length === 0 || !file.endsWith(".ts")) continue;
      const code = readFileSync(join(SERVER, file), "utf8");
      for (const [, isType, path = ""] of code.matchAll(
        /^(?:import|export) (type )?[^;]*?from "(\.[^"]+)"/gm,
      )) {
        const [target = "", ...inner] = relative(SERVER, join(SERVER, dirname(file), path)).split(sep);
        if (target === ".." || target === folder) continue;
        // a function may be given the server, whose type stands above all
        if (inner.length === 0 && isType) continue;
        if (FOLDERS.indexOf(target) <= FOLDERS.indexOf(folder)) upwards.push(`${file} imports ${path}`);
      }
    }
    expect(upwards).to.deep.equal([]);
  });

  it("names files that are there, as CONTRIBUTING.md does", () => {
    const text = DOCUMENT + readFileSync(join(ROOT, "CONTRIBUTING.md"), "utf8");
    for (const [, path = ""] of text.matchAll(/`((?:lib|test|examples)\/[\w./-]+)`/g)) {
      expect(existsSync(join(ROOT, path)), path).to.equal(true);
    }
  });
});
