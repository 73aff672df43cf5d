/**
 * Makes dist/types-5.5, the declarations for TypeScript before 5.6: it knows no names in quotation marks, and its async
 * iterators take one type alone, so that those files which speak of them get interfaces of the same names.
 */
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const folder = join(dist, "types-5.5");

const ITERATORS = `\
/** As TypeScript has them since 5.6. */
export interface AsyncIterableIterator<T, TReturn = any, TNext = any> extends AsyncIterator<T, TReturn, TNext> {
  [Symbol.asyncIterator](): AsyncIterableIterator<T, TReturn, TNext>;
}
export interface AsyncIterable<T, TReturn = any, TNext = any> {
  [Symbol.asyncIterator](): AsyncIterator<T, TReturn, TNext>;
}
`;

const names = readdirSync(dist, { recursive: true }).filter((name) => name.endsWith(".d.ts"));
for (const name of names) {
  const path = join(folder, name);
  cpSync(join(dist, name), path);
  let text = readFileSync(path, "utf8")
    .replace(', TokenSocketServer as "module.exports"', "")
    .replace(/^\/\/# sourceMappingURL=.*$/m, "");
  if (/\bAsyncIterable(Iterator)?</.test(text)) {
    const from = relative(dirname(path), join(folder, "iterators.js"));
    text = `import type { AsyncIterable, AsyncIterableIterator } from "${from.startsWith(".") ? from : `./${from}`}";\n${text}`;
  }
  writeFileSync(path, text);
}
writeFileSync(join(folder, "iterators.d.ts"), ITERATORS);
