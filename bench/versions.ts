import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, release, type } from "node:os";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);
const PACKAGES = [
  "socket.io",
  "@socket.io/redis-adapter",
  "@socket.io/redis-emitter",
  "@socket.io/redis-streams-adapter",
  "ws",
  "sockjs",
  "express",
  "redis",
  "redis3",
  "node-token-sockjs-2",
];

/** What takes part, with its version. */
export function versions(redis: string): Record<string, string> {
  const own = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const of = Object.fromEntries(PACKAGES.map((name) => [name, versionOf(name)]));
  return { "node-token-sockjs": own.version, "Node.js": process.versions.node, Redis: redis, ...of };
}

export function machine(): string {
  const all = cpus();
  return `${all.length} × ${all[0]?.model.trim() ?? "unknown"}, ${type()} ${release().split("-")[0]}`;
}

function versionOf(name: string): string {
  let folder = dirname(require.resolve(name));
  for (;;) {
    try {
      const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
      if (typeof version === "string") return version;
    } catch {
      // not the package's own folder yet
    }
    const above = dirname(folder);
    if (above === folder) return "unknown";
    folder = above;
  }
}
