import { readFileSync } from "node:fs";
import { expect } from "chai";
import * as client from "../../lib/client/index.js";
import { OPTIONS } from "../../lib/client/options.js";
import { codeOf, tableUnder } from "../package/markdown.js";

const DOCUMENT = readFileSync(new URL("../../docs/client.md", import.meta.url), "utf8");

describe("docs/client.md", () => {
  it("has each option with its default", () => {
    const rows = tableUnder(DOCUMENT, "Options");
    expect(rows.map(([name]) => codeOf(name))).to.deep.equal(Object.keys(OPTIONS));
    for (const [cell, given = ""] of rows) {
      const [value] = OPTIONS[codeOf(cell) as keyof typeof OPTIONS];
      if (value === "" || value === undefined || typeof value === "function" || value === console) continue;
      const text = (codeOf(given) ?? "").replace(/(\w+):/g, '"$1":');
      expect(value, given).to.deep.equal(JSON.parse(text));
    }
  });

  it("has each class of error", () => {
    const errors = Object.keys(client).filter((name) => name.endsWith("Error"));
    for (const name of errors) expect(DOCUMENT).to.include(`\`${name}\``);
  });

  it("has each public method", () => {
    const methods = [client.TokenSocket.prototype, Object.getPrototypeOf(client.TokenSocket.prototype)];
    for (const name of methods.flatMap(Object.getOwnPropertyNames)) {
      if (name !== "constructor" && name !== "emit") expect(DOCUMENT).to.match(new RegExp(`\`${name}\\b`));
    }
  });
});
