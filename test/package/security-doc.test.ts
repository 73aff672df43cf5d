import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { ROOT } from "./installed-package.js";
import { tableUnder } from "./markdown.js";

const ATTACKS = "test/integration/attacks.test.ts";

/** The tests that the table of attacks names, as `file`: name. */
const NAMED = tableUnder(readFileSync(join(ROOT, "SECURITY.md"), "utf8"), "Attacks").flatMap(
  ([attack = "", , tests = ""]) =>
    tests.split("<br>").map((test) => {
      const [, file = "", name = ""] = /^`(test\/[^`]+)`: (.+)$/.exec(test.trim()) ?? [];
      return { attack, file, name };
    }),
);

describe("SECURITY.md", () => {
  for (const { attack, file, name } of NAMED) {
    it(`names a test that exists for "${attack}": ${name}`, () => {
      expect(existsSync(join(ROOT, file)), file).to.equal(true);
      expect(testsOf(file).some((test) => test.test(name))).to.equal(true);
    });
  }

  it("names each test of attacks", () => {
    const names = NAMED.filter(({ file }) => file === ATTACKS).map(({ name }) => name);
    for (const test of testsOf(ATTACKS)) expect(names.some((name) => test.test(name))).to.equal(true);
  });
});

/** The names of a file's tests, as patterns: in a template anything may stand for what is put into it. */
function testsOf(file: string): RegExp[] {
  const code = readFileSync(join(ROOT, file), "utf8");
  return [...code.matchAll(/\bit\(\s*("|`)((?:\\.|(?!\1)[^\\])*)\1/g)].map(([, quote, name = ""]) => {
    const parts = quote === "`" ? name.split(/\$\{[^}]*\}/) : [name];
    return new RegExp(`^${parts.map(escaped).join(".+")}$`);
  });
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
