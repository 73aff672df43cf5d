import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { ROOT } from "./installed-package.js";
import { codeOf, tablesUnder } from "./markdown.js";

const run = promisify(execFile);

interface Report {
  readonly diagnostics: readonly {
    readonly category: string;
    readonly location: { readonly path: string };
  }[];
}

/** Runs `biome lint` with the rules of this project on files of another one; gives the rules that each breaks. */
async function lint(files: Record<string, string>): Promise<Record<string, string[]>> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "node-token-sockjs-")));
  try {
    for (const name of ["biome.json", "biome.folders.json"]) await cp(join(ROOT, name), join(folder, name));
    for (const [path, code] of Object.entries(files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), code);
    }
    const biome = join(ROOT, "node_modules/@biomejs/biome/bin/biome");
    const args = [biome, "lint", "--vcs-enabled=false", "--max-diagnostics=none", "--reporter=json"];
    const { stdout } = await run(process.execPath, args, { cwd: folder, maxBuffer: 2 ** 26 }).catch(
      // it fails where a rule is broken
      (error: { stdout: string }) => error,
    );
    const broken: Record<string, string[]> = {};
    for (const { category, location } of (JSON.parse(stdout) as Report).diagnostics) {
      broken[location.path] = [...(broken[location.path] ?? []), category];
    }
    return broken;
  } finally {
    await rm(folder, { recursive: true });
  }
}

const CIRCLE = "lint/suspicious/noImportCycles";
const WRONG_WAY = "lint/style/noRestrictedImports";

const DOCUMENT = readFileSync(join(ROOT, "docs/architecture.md"), "utf8");

function foldersOf(path: string): string[] {
  const entries = readdirSync(join(ROOT, path), { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => `${path}/${name}`);
}

/** Lets a file of each folder import one of each other; gives the folders that each may import. */
async function allowedImports(folders: readonly string[]): Promise<Map<string, string[]>> {
  const files: Record<string, string> = {};
  const pairs: { from: string; to: string; path: string }[] = [];
  for (const from of folders) {
    files[`${from}/part.ts`] = "export type Part = string;\n";
    for (const to of folders.filter((folder) => folder !== from)) {
      const path = `${from}/imports-${to.replaceAll("/", "-")}.ts`;
      files[path] = `export type { Part } from "${relative(from, to)}/part.js";\n`;
      pairs.push({ from, to, path });
    }
  }
  const broken = await lint(files);
  for (const rules of Object.values(broken)) expect(rules).to.deep.equal([WRONG_WAY]);
  const allowed = new Map<string, string[]>(folders.map((folder) => [folder, []]));
  for (const { from, to, path } of pairs) if (!broken[path]) allowed.get(from)?.push(to);
  return allowed;
}

describe("The linter", () => {
  it("finds files that import each other in a circle, through others and for types alone", async () => {
    const broken = await lint({
      "lib/server/log/a.ts": 'import type { B } from "./b.js";\n\nexport type A = B[];\n',
      "lib/server/log/b.ts": 'import type { C } from "./c.js";\n\nexport type B = C[];\n',
      "lib/server/log/c.ts": 'import type { A } from "./a.js";\n\nexport type C = A | string;\n',
      "lib/server/log/d.ts": 'import type { A } from "./a.js";\n\nexport type D = A;\n',
      "lib/client/a.ts": 'import { b } from "./b.js";\n\nexport const a = () => b();\n',
      "lib/client/b.ts": 'import { a } from "./a.js";\n\nexport const b = (): unknown => a();\n',
    });
    expect(broken).to.deep.equal({
      "lib/server/log/a.ts": [CIRCLE],
      "lib/server/log/b.ts": [CIRCLE],
      "lib/server/log/c.ts": [CIRCLE],
      "lib/client/a.ts": [CIRCLE],
      "lib/client/b.ts": [CIRCLE],
    });
  });

  it("lets the client import what both ends share, hooks the client, and neither of them the server", async () => {
    const allowed = await allowedImports(["lib/shared", "lib/client", "lib/react", "lib/server"]);
    expect(Object.fromEntries(allowed)).to.deep.equal({
      "lib/shared": [],
      "lib/client": ["lib/shared"],
      "lib/react": ["lib/shared", "lib/client"],
      "lib/server": ["lib/shared"],
    });
  });

  it("lets each of the server's folders import those below it in docs/architecture.md, and no others", async () => {
    const listed = (tablesUnder(DOCUMENT, "Folders")[1] ?? []).map(
      ([name]) => `lib/server/${codeOf(name)?.replace("/", "")}`,
    );
    expect(listed).to.have.members(foldersOf("lib/server"));
    const allowed = await allowedImports(listed);
    for (const [index, folder] of listed.entries()) {
      expect(allowed.get(folder), folder).to.have.members(listed.slice(index + 1));
    }
  });

  it("lets the client's folders import one another in one direction", async () => {
    const folders = foldersOf("lib/client");
    const allowed = await allowedImports(folders);
    for (const [index, folder] of folders.entries()) {
      for (const other of folders.slice(index + 1)) {
        const arrows = [allowed.get(folder)?.includes(other), allowed.get(other)?.includes(folder)];
        expect(arrows.filter(Boolean), `${folder} and ${other}`).to.have.length(1);
      }
    }
  });

  it("lets none of the server's folders import the files above them, the client or the hooks", async () => {
    const files: Record<string, string> = {};
    const above = [
      "../token-socket-server.js",
      "../wiring.js",
      "../../client/index.js",
      "../../react/index.js",
    ];
    for (const folder of foldersOf("lib/server")) {
      for (const [index, path] of above.entries()) {
        files[`${folder}/imports-${index}.ts`] = `export type * from "${path}";\n`;
      }
    }
    const broken = await lint(files);
    expect(broken).to.deep.equal(Object.fromEntries(Object.keys(files).map((path) => [path, [WRONG_WAY]])));
  });
});

describe("docs/architecture.md", () => {
  it("names files that are there, as CONTRIBUTING.md does", () => {
    const text = DOCUMENT + readFileSync(join(ROOT, "CONTRIBUTING.md"), "utf8");
    for (const [, path = ""] of text.matchAll(/`((?:lib|test|examples)\/[\w./-]+)`/g)) {
      expect(existsSync(join(ROOT, path)), path).to.equal(true);
    }
  });
});
