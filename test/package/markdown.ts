/** A fenced block of a Markdown document. */
export interface Block {
  /** The first word after the fence. */
  readonly language: string;
  /** The words after it. */
  readonly info: string;
  /** The heading that it stands under. */
  readonly heading: string;
  /** Its number among the blocks of its language under that heading, from 1 on. */
  readonly number: number;
  /** The line of its fence, from 1 on. */
  readonly line: number;
  readonly code: string;
}

/** The fenced blocks of a document, in order. */
export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  let heading = "";
  let open: { language: string; info: string; line: number; lines: string[] } | undefined;
  for (const [index, text] of markdown.split("\n").entries()) {
    const fence = /^```(\S*) *(.*)$/.exec(text);
    if (open && fence) {
      const { language, info, line, lines } = open;
      const number =
        1 + blocks.filter((block) => block.heading === heading && block.language === language).length;
      blocks.push({ language, info, heading, number, line, code: `${lines.join("\n")}\n` });
      open = undefined;
    } else if (open) {
      open.lines.push(text);
    } else if (fence) {
      open = { language: fence[1] ?? "", info: fence[2] ?? "", line: index + 1, lines: [] };
    } else {
      heading = headingOf(text) ?? heading;
    }
  }
  if (open) throw new Error(`The block of line ${open.line} has no end`);
  return blocks;
}

/** The headings of a level, from 1 to 6, below another heading if one is given. */
export function headingsOf(markdown: string, level: number, below?: string): string[] {
  const headings: string[] = [];
  let inside = below === undefined;
  let inBlock = false;
  for (const text of markdown.split("\n")) {
    if (text.startsWith("```")) inBlock = !inBlock;
    const depth = inBlock ? 0 : (/^#{1,6}(?= )/.exec(text)?.[0].length ?? 0);
    if (depth === 0) continue;
    const heading = headingOf(text) ?? "";
    if (below !== undefined && depth < level) inside = heading === below;
    else if (depth === level && inside) headings.push(heading);
  }
  return headings;
}

/** The cells of the first table under a heading, row by row, without its head. */
export function tableUnder(markdown: string, heading: string): string[][] {
  const [first] = tablesUnder(markdown, heading);
  if (!first) throw new Error(`There is no table under "${heading}"`);
  return first;
}

/** Likewise, of all its tables. */
export function tablesUnder(markdown: string, heading: string): string[][][] {
  const lines = markdown.split("\n");
  const start = lines.findIndex((line) => headingOf(line) === heading);
  if (start === -1) throw new Error(`There is no heading "${heading}"`);
  const rest = lines.slice(start + 1);
  const end = rest.findIndex((line) => headingOf(line) !== undefined);
  const section = end === -1 ? rest : rest.slice(0, end);
  const tables: string[][] = [];
  for (const [index, line] of section.entries()) {
    if (!line.startsWith("|")) continue;
    if (!section[index - 1]?.startsWith("|")) tables.push([]);
    tables.at(-1)?.push(line);
  }
  return tables.map((rows) => rows.slice(2).map(cellsOf));
}

/** A cell that is one piece of code, perhaps a link, without its backticks; undefined for any other. */
export function codeOf(cell: string | undefined): string | undefined {
  return /^\[?`([^`]+)`(?:\]\([^)]*\))?$/.exec(cell ?? "")?.[1];
}

function cellsOf(row: string): string[] {
  return row
    .slice(1, row.lastIndexOf("|"))
    .split(/(?<!\\)\|/)
    .map((cell) => cell.replaceAll("\\|", "|").trim());
}

function headingOf(line: string): string | undefined {
  return /^#{1,6} +(.*?) *$/.exec(line)?.[1]?.replaceAll("`", "");
}
