// Checks the sources by each version of TypeScript that is installed, without skipLibCheck; and by those that cannot read the
// newest types of Node.js, with it.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";

const versions = readdirSync("node_modules").filter((name) => name.startsWith("typescript-"));
const kinds = [
  ["nodenext", "nodenext"],
  ["esnext", "bundler"],
];

function check(version, [module, moduleResolution], ...more) {
  const args = [
    "--noEmit",
    "--strict",
    "--target",
    "es2022",
    "--types",
    "node",
    "--jsx",
    "react-jsx",
    ...more,
  ];
  const tsc = [`node_modules/${version}/bin/tsc`, ...args, "--module", module];
  return spawnSync(process.execPath, [...tsc, "--moduleResolution", moduleResolution, "application.tsx"], {
    encoding: "utf8",
  });
}

function tell(title, isGood, output) {
  console.log(`${title}: ${isGood ? "good" : output || "no error"}`);
  if (!isGood) process.exitCode = 1;
}

for (const version of versions) {
  for (const kind of kinds) {
    const { status, stdout } = check(version, kind);
    tell(`${version} ${kind[1]}`, status === 0, stdout);
  }
}

spawnSync("npm", ["install", "--no-save", "--prefer-offline", "@types/node@26.6.7"], { stdio: "inherit" });
for (const version of ["typescript-5.4", "typescript-5.5"]) {
  const [kind] = kinds;
  const { status, stdout } = check(version, kind, "--skipLibCheck");
  tell(`${version} with the newest types of Node.js and skipLibCheck`, status === 0, stdout);
  // what the documents say of it
  const without = check(version, kind)
    .stdout.split("\n")
    .filter((line) => /^\S.*error/.test(line));
  const isTheirs = without.length > 0 && without.every((line) => line.includes("@types/node/"));
  tell(`${version} with these alone has errors of theirs`, isTheirs, without.join("\n"));
}
