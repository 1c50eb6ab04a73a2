/**
 * Parses JSON more strictly than JSON.parse: a key that occurs twice in one object is an error. JSON.parse keeps the last
 * one silently, so that two readers of one text could see different requests.
 */
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const COLON = 0x3a;
/** Tab, line feed, carriage return, space. */
const WHITESPACE = new Set([0x09, 0x0a, 0x0d, 0x20]);
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

/** Scans a text that is valid JSON, so it only needs to recognise strings and brackets. Jumps from one to the next. */
function checkKeysAndDepth(text: string): void {
  /** One entry per open bracket: the keys of an object, or null for an array. */
  const open: (Set<string> | null)[] = [];
  const mark = /["{}[\]]/g;
  for (let found = mark.exec(text); found; found = mark.exec(text)) {
    const position = found.index;
    switch (text.charCodeAt(position)) {
      case QUOTE: {
        const end = endOfString(text, position);
        const keys = open.at(-1);
        if (keys && isKey(text, end)) addKey(keys, text.slice(position + 1, end - 1));
        mark.lastIndex = end;
        break;
      }
      case OPEN_BRACE:
        open.push(new Set());
        break;
      case OPEN_BRACKET:
        open.push(null);
        break;
      default:
        open.pop();
    }
    if (open.length > MAX_DEPTH) throw new StrictJsonError(`nested deeper than ${MAX_DEPTH}`);
  }
}

/** The position after the closing quote: the first quote that an even number of backslashes precedes. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end + 1;
}

function isEscaped(text: string, quote: number): boolean {
  let first = quote;
  while (text.charCodeAt(first - 1) === BACKSLASH) first -= 1;
  return (quote - first) % 2 === 1;
}

function isKey(text: string, end: number): boolean {
  let position = end;
  while (WHITESPACE.has(text.charCodeAt(position))) position += 1;
  return text.charCodeAt(position) === COLON;
}

/** @param raw the text between the quotes. */
function addKey(keys: Set<string>, raw: string): void {
  const key = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw;
  if (keys.has(key)) throw new StrictJsonError(`the key ${JSON.stringify(key)} occurs twice in one object`);
  keys.add(key);
}
