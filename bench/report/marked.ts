/**
 * Replaces what a document has between `<!-- name -->` and `<!-- end of name -->`. Throws where it has no such place.
 */
export function replaceMarked(text: string, name: string, content: string): string {
  const [begin, end] = [`<!-- ${name} -->\n`, `<!-- end of ${name} -->`];
  const start = text.indexOf(begin);
  const stop = text.indexOf(end, start);
  if (start === -1 || stop === -1) throw new Error(`The document has no place for ${name}`);
  return `${text.slice(0, start + begin.length)}\n${content}\n\n${text.slice(stop)}`;
}
