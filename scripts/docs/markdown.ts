/** Markdown: tables, and the parts of a page that are generated. */

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(escapeCell).join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

/**
 * Replaces the text between `<!-- name -->` and `<!-- /name -->` for each name of `parts`.
 * @throws {Error} when markers are missing.
 */
export function replaceParts(page: string, parts: Readonly<Record<string, string>>): string {
  return Object.entries(parts).reduce((text, [name, content]) => {
    const [before, rest] = text.split(`<!-- ${name} -->\n`);
    const [, after] = rest?.split(`<!-- /${name} -->`) ?? [];
    if (before === undefined || after === undefined) throw new Error(`the page has no markers for ${name}`);
    const filled = content === '' ? '' : `\n${content}\n\n`;
    return `${before}<!-- ${name} -->\n${filled}<!-- /${name} -->${after}`;
  }, page);
}

/** A bar ends a cell, and an angle bracket starts a tag. */
function escapeCell(cell: string): string {
  return cell.replaceAll('|', '\\|').replaceAll('<', '&lt;');
}
