import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import * as react from "../../lib/react/index.js";
import { blocksOf, codeOf, headingsOf, tableUnder } from "../package/markdown.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const DOCUMENT = readFileSync(join(ROOT, "docs/react.md"), "utf8");

/** What the page's test uses of packages that are not installed here. */
const PACKAGES = `
declare module "vitest" {
  export function test(name: string, body: () => Promise<void>): void;
}
declare module "@testing-library/react" {
  export function render(page: import("react").ReactElement): void;
  export const screen: { findByText(text: string): Promise<HTMLElement> };
}
`;

const OPTIONS = {
  extends: join(ROOT, "tsconfig.json"),
  compilerOptions: {
    lib: ["es2024", "dom", "dom.iterable"],
    jsx: "react-jsx",
    noEmit: true,
    declaration: false,
    declarationMap: false,
    rootDir: "/",
    paths: {
      "node-token-sockjs": [join(ROOT, "lib/index.ts")],
      "node-token-sockjs/memory": [join(ROOT, "lib/memory.ts")],
      "node-token-sockjs/client": [join(ROOT, "lib/client/index.ts")],
      "node-token-sockjs/react": [join(ROOT, "lib/react/index.ts")],
    },
  },
  include: ["."],
};

describe("docs/react.md", () => {
  it("has each export in its table, and each hook under a heading of its own", () => {
    const names = tableUnder(DOCUMENT, "The hooks").map(([name]) => codeOf(name));
    expect(names).to.have.members(Object.keys(react));
    const { createHooks: _, ...others } = react;
    expect(headingsOf(DOCUMENT, 3)).to.have.members(Object.keys(others));
  });

  it("has code that compiles", () => {
    const folder = mkdtempSync(join(tmpdir(), "react-document-"));
    try {
      symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
      writeFileSync(join(folder, "package.json"), '{"type":"module"}');
      writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(OPTIONS));
      writeFileSync(join(folder, "packages.d.ts"), PACKAGES);
      const blocks = blocksOf(DOCUMENT).filter(({ language }) => language !== "sh");
      expect(blocks.map(({ language }) => language)).to.deep.equal(blocks.map(() => "tsx"));
      for (const { info, line, code } of blocks)
        writeFileSync(join(folder, info || `line-${line}.tsx`), code);
      const { stdout, status } = spawnSync(
        process.execPath,
        [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", folder],
        { encoding: "utf8" },
      );
      expect(stdout).to.equal("");
      expect(status).to.equal(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
