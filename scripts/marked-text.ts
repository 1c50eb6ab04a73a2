/** Owns the parts of documents that are generated: what stands between `<!-- name -->` and `<!-- /name -->`. */

/**
 * The text with the content between the markers of that name made anew; nothing stands there for an empty one.
 * @throws {Error} when the markers are not there.
 */
export function withMarked(text: string, name: string, content: string): string {
  const [before, rest] = text.split(`<!-- ${name} -->\n`);
  const [, after] = rest?.split(`<!-- /${name} -->`) ?? [];
  if (before === undefined || after === undefined) throw new Error(`the document has no markers for ${name}`);
  const filled = content === '' ? '' : `\n${content}\n\n`;
  return `${before}<!-- ${name} -->\n${filled}<!-- /${name} -->${after}`;
}
