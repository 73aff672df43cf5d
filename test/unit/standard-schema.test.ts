import { expect } from "chai";
import {
  check,
  describeIssues,
  isStandardSchema,
  type StandardIssue,
} from "../../lib/shared/standard-schema.js";

const schemaOf = (issues: readonly StandardIssue[]) => ({
  "~standard": { version: 1 as const, vendor: "by hand", validate: () => ({ issues }) },
});

/** The issues that a schema's user is told, of those that it has found. */
const told = async (issues: readonly StandardIssue[]) => {
  const checked = await check(schemaOf(issues), 1);
  return checked.valid ? expect.fail() : checked.issues;
};

describe("the issues of a schema", () => {
  const long = { message: "x".repeat(1000) };

  it("are told as long as they have 10,000 characters together, with their paths as a log has them", async () => {
    const nine = Array.from({ length: 9 }, () => long);
    const path = ["a", { key: "b" }, 7];
    const last = (length: number) => ({ message: "y".repeat(length), path });
    expect(await told([...nine, last(995)])).to.have.length(10);
    expect(await told([...nine, last(996)])).to.have.length(9);
    expect(describeIssues(await told([{ message: "wrong", path }, { message: "bad" }]))).to.equal(
      "a.b.7: wrong; bad",
    );
  });
});

describe("a schema", () => {
  it("is known by what it has", () => {
    const good = schemaOf([]);
    expect(isStandardSchema(good)).to.equal(true);
    expect(isStandardSchema(Object.assign(() => {}, good))).to.equal(true);
    const { validate } = good["~standard"];
    for (const value of [undefined, null, "text", {}, { "~standard": null }, { "~standard": { validate } }]) {
      expect(isStandardSchema(value)).to.equal(false);
    }
    for (const part of [{ version: 2 }, { validate: undefined }]) {
      expect(isStandardSchema({ "~standard": { ...good["~standard"], ...part } })).to.equal(false);
    }
  });
});
