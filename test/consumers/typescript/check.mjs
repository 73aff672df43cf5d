// Checks the sources by each version of TypeScript that is installed, without skipLibCheck.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";

const versions = readdirSync("node_modules").filter((name) => name.startsWith("typescript-"));
const kinds = [
  ["nodenext", "nodenext"],
  ["esnext", "bundler"],
];
for (const version of versions) {
  for (const [module, moduleResolution] of kinds) {
    const args = ["--noEmit", "--strict", "--target", "es2022", "--types", "node", "--jsx", "react-jsx"];
    const tsc = [`node_modules/${version}/bin/tsc`, ...args, "--module", module];
    const { status, stdout } = spawnSync(
      process.execPath,
      [...tsc, "--moduleResolution", moduleResolution, "application.tsx"],
      { encoding: "utf8" },
    );
    console.log(`${version} ${moduleResolution}: ${status === 0 ? "good" : stdout}`);
    if (status !== 0) process.exitCode = 1;
  }
}
