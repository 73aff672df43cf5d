import { expect } from "chai";
import fc from "fast-check";
import { lookUp } from "../../lib/shared/procedures.js";

const echo = () => {};

class Service {
  own = echo;
  method(): void {}
  get accessor(): () => void {
    return echo;
  }
  static helper(): void {}
}

const list = [echo, echo];
const inner = Object.assign(() => {}, { deeper: echo });
const root = {
  echo,
  list,
  inner,
  "": { "": echo },
  nested: { echo, one: { two: { three: echo } } },
  service: new Service(),
  Service,
  bare: Object.assign(Object.create(null) as object, { echo }),
  map: new Map([["echo", echo]]),
  text: "text",
  nothing: null,
  unset: undefined,
  named: { constructor: echo, toString: echo, hasOwnProperty: echo },
  get open() {
    return { echo };
  },
  get broken(): never {
    throw new Error("broken");
  },
};

/** Looks up what a dotted path names. */
const find = (root: unknown, path: string) => lookUp(root, path.split("."));

describe("lookUp", () => {
  it("finds a value by its path, and the object that holds it", () => {
    expect(find(root, "echo")).to.deep.equal({ value: echo, parent: root });
    expect(find(root, "nested.one.two.three")).to.deep.equal({ value: echo, parent: root.nested.one.two });
    expect(find(root, "bare.echo")?.parent).to.equal(root.bare);
    expect(find(root, "service.own")?.parent).to.equal(root.service);
    expect(find(root, "open.echo")?.value).to.equal(echo);
    expect(find(root, ".")?.value).to.equal(echo);
  });

  it("finds what is no function as well, since it is for the caller to judge", () => {
    expect(find(root, "nested")?.value).to.equal(root.nested);
    expect(find(root, "list")?.value).to.equal(list);
    expect(find(root, "text")?.value).to.equal("text");
    expect(find(root, "unset")).to.deep.equal({ value: undefined, parent: root });
  });

  it("finds names that objects inherit where they are an object's own", () => {
    expect(find(root, "named.constructor")?.value).to.equal(echo);
    expect(find(root, "named.toString")?.value).to.equal(echo);
    expect(find(root, "named.hasOwnProperty")?.value).to.equal(echo);
    const own = JSON.parse('{"__proto__":{"echo":1}}') as object;
    expect(find(own, "__proto__.echo")?.value).to.equal(1);
  });

  for (const path of [
    "...",
    "missing",
    "missing.echo",
    "nested.missing",
    "nested..one",
    ".echo",
    "echo.",
    "__proto__",
    "__proto__.toString",
    "constructor",
    "constructor.constructor",
    "constructor.prototype",
    "prototype",
    "toString",
    "hasOwnProperty",
    "valueOf",
    "nested.__proto__",
    "nested.constructor",
    "bare.constructor",
    "service.method",
    "service.accessor",
    "service.constructor",
    "Service.helper",
    "Service.prototype.method",
    "echo.call",
    "echo.apply",
    "echo.length",
    "echo.name",
    "echo.prototype",
    "echo.constructor",
    "inner.deeper",
    "list.0",
    "list.length",
    "list.map",
    "list.constructor",
    "map.get",
    "map.echo",
    "text.length",
    "text.0",
    "nothing.echo",
    "unset.echo",
  ]) {
    it(`finds nothing at ${JSON.stringify(path)}`, () => {
      expect(find(root, path)).to.equal(undefined);
    });
  }

  it("finds nothing at an empty path, unless a name is empty", () => {
    expect(find({ echo }, "")).to.equal(undefined);
    expect(find({ "": echo }, "")?.value).to.equal(echo);
  });

  it("finds nothing in what is no object", () => {
    for (const value of [undefined, null, 5, "text", true, [], list, echo, Symbol("s")]) {
      expect(find(value, "echo")).to.equal(undefined);
      expect(find(value, "0")).to.equal(undefined);
      expect(find(value, "length")).to.equal(undefined);
    }
  });

  it("throws what a getter on the way throws", () => {
    expect(() => find(root, "broken")).to.throw("broken");
    expect(() => find(root, "broken.echo")).to.throw("broken");
  });

  it("finds in nested objects just what was put there", () => {
    const name = fc.oneof(
      fc.constantFrom("__proto__", "constructor", "toString", "a", ""),
      fc.string().filter((text) => !text.includes(".")),
    );
    fc.assert(
      fc.property(
        fc.array(name, { minLength: 1, maxLength: 6 }),
        fc.array(name, { minLength: 1 }),
        (path, other) => {
          const leaf = {};
          const tree = path.reduceRight<unknown>((value, key) => Object.fromEntries([[key, value]]), leaf);
          expect(find(tree, path.join("."))?.value).to.equal(leaf);
          const isPart = other.length <= path.length && other.every((key, index) => key === path[index]);
          expect(find(tree, other.join(".")) !== undefined).to.equal(isPart);
        },
      ),
    );
  });
});
