/**
 * Owns the JSON reading that JSON.parse is too lenient for: a key that stands twice in an object is an error,
 * where JSON.parse silently keeps the last and so two readers of one text may see different requests.
 */
const WHITESPACE = new Set([' ', '\t', '\n', '\r']);
const MAX_DEPTH = 64;

/** Why a text is not accepted, and where. */
export class StrictJsonError extends Error {}

/**
 * Parses JSON that holds no duplicate key and no deeper nesting than 64.
 * @throws {StrictJsonError} with a sentence for the sender.
 */
export function parseStrictJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new StrictJsonError(`not valid JSON: ${(error as Error).message}`, { cause: error });
  }
  refuseDuplicateKeys(text);
  return value;
}

/** Walks a text that is known to be JSON, so only strings and brackets need to be understood. */
function refuseDuplicateKeys(text: string): void {
  /** One entry per open bracket: the keys of an object, or null for an array. */
  const open: (Set<string> | null)[] = [];
  let position = 0;
  while (position < text.length) {
    const character = text[position];
    if (character === '"') {
      const end = endOfString(text, position);
      const keys = open.at(-1);
      if (keys && isKey(text, end)) addKey(keys, JSON.parse(text.slice(position, end)) as string);
      position = end;
      continue;
    }
    if (character === '{') open.push(new Set());
    if (character === '[') open.push(null);
    if (character === '}' || character === ']') open.pop();
    if (open.length > MAX_DEPTH) throw new StrictJsonError(`nested deeper than ${MAX_DEPTH}`);
    position += 1;
  }
}

function endOfString(text: string, start: number): number {
  let position = start + 1;
  while (text[position] !== '"') position += text[position] === '\\' ? 2 : 1;
  return position + 1;
}

function isKey(text: string, end: number): boolean {
  let position = end;
  while (WHITESPACE.has(text[position] ?? '')) position += 1;
  return text[position] === ':';
}

function addKey(keys: Set<string>, key: string): void {
  if (keys.has(key)) throw new StrictJsonError(`the key ${JSON.stringify(key)} stands twice in one object`);
  keys.add(key);
}
