import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../package/installed-package.js";
import { blocksOf } from "../package/markdown.js";

const [block] = blocksOf(readFileSync(join(ROOT, "docs/redis.md"), "utf8")).filter(
  ({ language }) => language === "acl",
);

/** The command by which the document makes the user of Redis that an application needs. */
export const ACL_COMMAND: readonly string[] = block?.code.trim().split(" ") ?? [];

/** What that user logs in with. */
export const LOGIN = { username: "app", password: "password" };
