/**
 * Says whether a text of JSON has at most so many levels of nested arrays and objects, and at most so many values; text
 * within strings is skipped. An empty array or object counts as two values: it takes as much memory.
 */
export function isJsonWithin(text: string, levels: number, most = Number.POSITIVE_INFINITY): boolean {
  // a level takes two characters, and two values at least three: most frames need no look at all
  // Stryker disable next-line ConditionalExpression,EqualityOperator: it is only quicker
  if (text.length <= 2 * levels && 2 * text.length <= 3 * most) return true;
  let depth = 0;
  let values = 1;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === BACKSLASH) i++;
      else if (code === QUOTE) inString = false;
    } else if (code === QUOTE) {
      inString = true;
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (++depth > levels || ++values > most) return false;
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      depth--;
    } else if (code === COMMA && ++values > most) {
      return false;
    }
  }
  return true;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
