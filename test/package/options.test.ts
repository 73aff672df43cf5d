import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import * as library from "../../lib/index.js";
import { DEFAULT_LIMITS, MAY_BE_OFF } from "../../lib/server/limits/limits.js";
import type { ResolvedOptions } from "../../lib/server/options/options.js";
import { resolveOptions } from "../../lib/server/options/resolve.js";
import { optionNames } from "../../lib/server/options/rules.js";
import { CLOSE } from "../../lib/shared/close-codes.js";
import { DEFAULT_CALL_TIMEOUT } from "../../lib/shared/pending-calls.js";
import { ROOT } from "./installed-package.js";
import { codeOf, headingsOf, tablesUnder, tableUnder } from "./markdown.js";

const pageOf = (name: string) => readFileSync(join(ROOT, name), "utf8");
const OPTIONS = pageOf("docs/options.md");
const SERVER = pageOf("docs/server.md");
const ERRORS = pageOf("docs/errors.md");

describe("the documents' lists", () => {
  it("have each option with its default", () => {
    const options: ResolvedOptions<unknown> = resolveOptions({});
    const rows = tableUnder(OPTIONS, "Options");
    expect(rows.map(([name]) => codeOf(name))).to.deep.equal(optionNames());
    for (const [cell, given = ""] of rows) {
      const name = codeOf(cell) as keyof typeof options;
      if (name === "limits") continue;
      expect(options[name], name).to.deep.equal(defaultOf(given, options));
    }
  });

  it("have a section for each option", () => {
    for (const [cell = ""] of tableUnder(OPTIONS, "Options")) {
      const [, name = "", page, anchor = ""] = /^\[`(\w+)`\]\(([\w.]*)#([\w-]+)\)$/.exec(cell) ?? [];
      const text = page ? pageOf(`docs/${page}`) : OPTIONS;
      expect(headingsOf(text, 2), cell).to.include(name);
      expect(anchor.replace(/-1$/, "")).to.equal(name.toLowerCase());
    }
  });

  it("have defaults that follow other options where they say so", () => {
    const options: ResolvedOptions<unknown> = resolveOptions({
      channelPrefix: "shop:",
      tokenRoute: "/token",
      tokenTtl: 1000,
    });
    for (const [cell, given = ""] of tableUnder(OPTIONS, "Options")) {
      const name = codeOf(cell) as keyof typeof options;
      if (name === "authTimeout" || name === "tokenPrefix") {
        expect(options[name]).to.equal(defaultOf(given, options));
      }
    }
  });

  it("have each limit with its default", () => {
    const rows = tableUnder(pageOf("docs/limits.md"), "Limits");
    const documented = Object.fromEntries(rows.map(([name, value]) => [codeOf(name), Number(codeOf(value))]));
    expect(documented).to.deep.equal(DEFAULT_LIMITS);
    const mayBeOff = rows.filter(([, , isMarked]) => isMarked === "∞").map(([name]) => codeOf(name));
    expect(mayBeOff).to.have.members([...MAY_BE_OFF]);
  });

  it("have each event with its arguments' number, and its kind", () => {
    const [events = "", messages = ""] = ["events", "message-types"].map((name) =>
      readFileSync(join(ROOT, `lib/server/events/${name}.ts`), "utf8"),
    );
    // what is known of messages by their channels has the same fields where nothing is known
    const untyped = (name: string) =>
      new RegExp(`export type ${name}<Messages> = IfUnknown<\\s*Messages,\\s*({[^}]*})`).exec(messages)?.[1];
    const declared = eventsOf(events.replace(/(\w+)<Messages>/g, (type, name) => untyped(name) ?? type));
    const documented = tableUnder(pageOf("docs/events.md"), "Guards and events").map(
      ([name, args = "", kind]) => ({
        name: codeOf(name),
        args: argumentsOf(codeOf(args) ?? ""),
        kind,
      }),
    );
    expect(documented).to.have.deep.members(declared);
  });

  it("have each method", () => {
    const { prototype } = library.TokenSocketServer;
    const methods = Object.getOwnPropertyNames(prototype).filter(
      (name) =>
        name !== "constructor" &&
        typeof Object.getOwnPropertyDescriptor(prototype, name)?.value === "function",
    );
    const documented = headingsOf(SERVER, 3, "Methods").map((heading) => heading.replace(/\(.*/, ""));
    expect(documented).to.deep.equal(methods);
  });

  it("say of each live property that it is one", () => {
    const { prototype } = library.TokenSocketServer;
    const live = Object.getOwnPropertyNames(prototype).filter(
      (name) => Object.getOwnPropertyDescriptor(prototype, name)?.set,
    );
    const sections = tableUnder(OPTIONS, "Options")
      .map(([cell = ""]) => /\((\w+\.md)#/.exec(cell)?.[1] ?? "options.md")
      .filter((page, index, pages) => pages.indexOf(page) === index)
      .flatMap((page) => pageOf(`docs/${page}`).split(/^## /m))
      .filter((section) => /live\s+property/.test(section));
    expect(sections.map((section) => section.split("\n")[0])).to.have.members(live);
  });

  it("have each close code", () => {
    const documented = tableUnder(ERRORS, "Close codes").map(([code, reason, reconnect]) => ({
      code: Number(codeOf(code)),
      reason,
      reconnect: reconnect === "yes",
    }));
    expect(documented).to.have.deep.members(Object.values(CLOSE));
  });

  it("have each class of errors, with its code", () => {
    const classes = Object.values(library).filter(
      (value): value is typeof value & (new (...args: never[]) => Error) => value.prototype instanceof Error,
    );
    for (const { name } of classes) expect(ERRORS).to.include(`\`${name}\``);
    const [, own = []] = tablesUnder(ERRORS, "Codes");
    const documented = new Map(own.map(([code, name]) => [codeOf(name), codeOf(code)]));
    const codes = {
      TimeoutError: new library.TimeoutError(1).code,
      AbortedError: new library.AbortedError(undefined).code,
      DisconnectedError: new library.DisconnectedError().code,
      UnauthorizedError: new library.UnauthorizedError("no").code,
    };
    for (const [name, code] of Object.entries(codes)) expect(documented.get(name), name).to.equal(code);
  });

  it("have the time limit of calls", () => {
    const [[name, value] = []] = tableUnder(pageOf("docs/calls.md"), "Server to client");
    expect([codeOf(name), Number(codeOf(value))]).to.deep.equal(["timeout", DEFAULT_CALL_TIMEOUT]);
  });

  it("have each script of the package's developers", () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    const documented = tableUnder(pageOf("CONTRIBUTING.md"), "Scripts").map(([name]) =>
      codeOf(name)?.replace(/^npm (run )?/, ""),
    );
    const own = Object.keys(scripts).filter((name) => !/^(pre|post)/.test(name));
    expect(documented).to.have.members(own);
  });
});

/** The value of a default as it is documented: none, or an expression that may name other options. */
function defaultOf(cell: string, options: object): unknown {
  if (cell === "none") return undefined;
  const names = Object.keys(options);
  return new Function(...names, `return ${codeOf(cell)}`)(...Object.values(options));
}

interface EventRow {
  readonly name: string | undefined;
  readonly args: readonly string[];
  readonly kind: string | undefined;
}

/** The events as the types declare them. */
function eventsOf(source: string): EventRow[] {
  const types = source.replace(/\/\*\*[\s\S]*?\*\//g, "");
  const [guards = "", others = ""] = types.split("export interface ServerEvents");
  return [guards, others].flatMap((text) =>
    [...text.matchAll(/^ {2}(\w+): \[([\s\S]*?)\];$/gm)].map(([, name, declared = ""]) => {
      const args = splitAtTop(declared).map((arg) => {
        const [label = "", type = ""] = arg.split(/:(.*)/s);
        const fields = [...type.matchAll(/(?:readonly )?(\w+): [^;}]+/g)].map(([, field]) => field);
        return fields.length > 0 ? `{ ${fields.join(", ")} }` : label.trim();
      });
      return { name, args, kind: args.includes("callback") ? "guard" : "notice" };
    }),
  );
}

function argumentsOf(code: string): string[] {
  return splitAtTop(code.slice(1, -1));
}

/** Splits at commas that are within no braces and no angle brackets. */
function splitAtTop(text: string): string[] {
  const parts = text.split(/,(?![^{]*\})(?![^<]*>)/);
  return parts.map((part) => part.trim()).filter(Boolean);
}
