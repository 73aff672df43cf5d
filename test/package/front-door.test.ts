import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { ROOT } from "./installed-package.js";
import { blocksOf, codeOf, tableUnder } from "./markdown.js";

const textOf = (file: string) => readFileSync(join(ROOT, file), "utf8");
const README = textOf("README.md");

describe("the README", () => {
  it("is read in a few minutes", () => {
    expect(README.trimEnd().split("\n")).to.have.length.of.at.most(300);
  });

  it("has six tastes of ten lines, and production in twenty-five", () => {
    const lines = (heading: string) =>
      blocksOf(README)
        .filter((block) => block.heading === heading)
        .map(({ code }) => code.trimEnd().split("\n").length);
    expect(lines("Six tastes")).to.have.length(6);
    expect(Math.max(...lines("Six tastes"))).to.be.at.most(10);
    expect(lines("Production")).to.have.length(1);
    expect(Math.max(...lines("Production"))).to.be.at.most(25);
  });

  it("has the figures of the pages that were measured last", () => {
    const rows = tableUnder(README, "Measured");
    expect(rows).to.have.length.greaterThan(3);
    for (const [what, figure = "", from = ""] of rows) {
      const [, page = ""] = /\((docs\/\w+\.md)/.exec(from) ?? [];
      const [number = ""] = /^[\d.,]+/.exec(figure) ?? [];
      expect(textOf(page).split(/[^\d.,]+/), `${what}: ${figure}`).to.include(number);
    }
  });
});

describe("the index of the documents", () => {
  it("has each page", () => {
    const index = textOf("docs/README.md");
    const pages = readdirSync(join(ROOT, "docs")).filter(
      (name) => /\.md$/.test(name) && name !== "README.md",
    );
    for (const page of pages) expect(index).to.include(`](${page})`);
  });
});

describe("the documents' public names", () => {
  /** The file that each subpath exports, and its row in the changelog. */
  const ENTRIES: Record<string, string> = {
    "node-token-sockjs": "lib/index.ts",
    "node-token-sockjs/client": "lib/client/names.ts",
    "node-token-sockjs/client/presence": "lib/client/presence.ts",
    "node-token-sockjs/memory": "lib/memory.ts",
    "node-token-sockjs/react": "lib/react/index.ts",
  };
  const ROWS = tableUnder(textOf("CHANGELOG.md"), "Public names");
  const TYPES = tableUnder(textOf("docs/typescript.md"), "Exported types").map(([, names = ""]) => names);
  const BY_NAME = tableUnder(textOf("docs/typed-calls.md"), "Types by name").map(([names = ""]) => names);

  it("are of all subpaths", () => {
    expect(ROWS.map(([name]) => codeOf(name))).to.deep.equal(Object.keys(ENTRIES));
  });

  for (const [, file = ""] of Object.entries(ENTRIES)) {
    it(`are all that ${file} exports`, () => {
      const [, values = "", types = ""] = ROWS.find(([name]) => ENTRIES[codeOf(name) ?? ""] === file) ?? [];
      const { values: declaredValues, types: declaredTypes } = exportsOf(textOf(file));
      expect(namesIn(values)).to.have.members(declaredValues);
      const elsewhere = file === "lib/index.ts" ? namesIn(TYPES.join()) : namesIn(types + BY_NAME.join());
      expect(elsewhere).to.include.members(declaredTypes);
    });
  }

  it("have no type in the list that is not exported", () => {
    expect(exportsOf(textOf("lib/index.ts")).types).to.have.members(namesIn(TYPES.join()));
  });
});

/** The names in code, without their type arguments. */
function namesIn(cell: string): string[] {
  return [...cell.matchAll(/`(\w+)[^`]*`/g)].map(([, name = ""]) => name);
}

/** What a module that is a table of contents exports. */
function exportsOf(source: string): { values: string[]; types: string[] } {
  const values = new Set<string>();
  const types = new Set<string>();
  for (const [, isType, list = ""] of source.matchAll(/^export (type )?\{([^}]*)\}/gm)) {
    for (const entry of list.split(",").map((text) => text.trim())) {
      const [, type, name, as] = /^(type )?(\w+)(?: as (.*))?$/.exec(entry) ?? [];
      // other names of the same
      if (!name || as) continue;
      (isType || type ? types : values).add(name);
    }
  }
  return { values: [...values], types: [...types] };
}
