/**
 * Parses JSON more strictly than JSON.parse: a key that occurs twice in one object is an error. JSON.parse keeps the last
 * one silently, so that two readers of one text could see different requests.
 */
const WHITESPACE = new Set([' ', '\t', '\n', '\r']);
const MAX_DEPTH = 64;

/** Why a text is refused, and where. */
export class StrictJsonError extends Error {}

/**
 * Parses JSON without duplicate keys, nested at most 64 deep.
 * @throws {StrictJsonError} with a reason that can be shown to the sender.
 */
export function parseStrictJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new StrictJsonError(`not valid JSON: ${(error as Error).message}`, { cause: error });
  }
  checkKeysAndDepth(text);
  return value;
}

/** Whether a parsed value is a JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Scans a text that is valid JSON, so it only needs to recognise strings and brackets. */
function checkKeysAndDepth(text: string): void {
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
  if (keys.has(key)) throw new StrictJsonError(`the key ${JSON.stringify(key)} occurs twice in one object`);
  keys.add(key);
}
