/**
 * Parses JSON more strictly than JSON.parse: a key that occurs twice in one object is an error. JSON.parse keeps the last
 * one silently, so that two readers of one text could see different requests. Texts of any size can be parsed in short
 * steps, which JSON.parse cannot do. See docs/adr/0025-json-off-the-event-loop.md.
 */
import { finish, type Steps } from './slices.js';

const MAX_DEPTH = 64;
/** Of one list or object: larger ones cannot grow within a short step. */
const MAX_ITEMS = 32_768;
/** In all: collecting the garbage of more of them stops the event loop for too long. */
const MAX_LISTS = 65_536;
/** The most in one step. */
const STEP_TOKENS = 64;
const STEP_LENGTH = 16_384;
const STEP_BYTES = 65_536;
/** A string, or a list without strings and brackets, up to this length is left to JSON.parse, which is fast. */
const SHORT_LENGTH = 8192;
const MAX_NUMBER_LENGTH = 1024;

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const WHITESPACE = /[ \t\n\r]*/y;
const NUMBER_OR_NAME = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
const NESTED = /["[{]/;
/** Strings, with the colon of those that are keys. */
const STRINGS = /"(?:[^"\\]|\\.)*"(?:\s*:)?/g;
/** As much of a string as has whole escape sequences. */
const STRING_PART = /(?:[^"\\]|\\(?:u[0-9a-fA-F]{4}|[^u]))*/y;

/** Why a text is refused, and where. */
export class StrictJsonError extends Error {}

/** A list or an object whose end has not come yet. */
interface Open {
  readonly value: unknown[] | Record<string, unknown>;
  /** The key of the member that comes next; undefined in a list. */
  key: string | undefined;
  items: number;
}

/**
 * Parses JSON without duplicate keys, nested at most 64 deep.
 * @param maxItems in one list or object.
 * @throws {StrictJsonError} with a reason that can be shown to the sender.
 */
export function parseStrictJson(text: string, maxItems?: number): unknown {
  return parseShort(text) ?? finish(parseInSteps(text, maxItems));
}

/** As parseStrictJson(), of bytes in UTF-8, in short steps. */
export function* parseBytesInSteps(bytes: Uint8Array): Steps<unknown> {
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  let text = '';
  try {
    for (let from = 0; from < bytes.length; from += STEP_BYTES) {
      text += utf8.decode(bytes.subarray(from, from + STEP_BYTES), { stream: true });
      yield;
    }
    text += utf8.decode();
  } catch (error) {
    throw new StrictJsonError('not valid UTF-8', { cause: error });
  }
  return yield* parseInSteps(text);
}

/** As parseStrictJson(), in short steps. */
export function* parseInSteps(text: string, maxItems = MAX_ITEMS): Steps<unknown> {
  const reader = new Reader(text);
  const open: Open[] = [];
  let stepEnd = STEP_LENGTH;
  let lists = 0;
  for (let tokens = 1; ; tokens += 1) {
    if (tokens % STEP_TOKENS === 0 || reader.position > stepEnd) {
      stepEnd = reader.position + STEP_LENGTH;
      yield;
    }
    if (open.length > MAX_DEPTH) throw new StrictJsonError(`nested deeper than ${MAX_DEPTH}`);
    let value: unknown;
    const next = reader.peek();
    if ((next === OPEN_OBJECT || next === OPEN_ARRAY) && (lists += 1) > MAX_LISTS)
      throw new StrictJsonError(`too long: it has more than ${MAX_LISTS} lists and objects`);
    if (reader.take(OPEN_OBJECT)) {
      value = {};
      if (!reader.take(CLOSE_OBJECT)) {
        open.push({ value: value as Record<string, unknown>, key: yield* reader.key(), items: 0 });
        continue;
      }
    } else if (next === OPEN_ARRAY) {
      value = reader.row();
      if (value === undefined) {
        reader.take(OPEN_ARRAY);
        open.push({ value: [], key: undefined, items: 0 });
        continue;
      }
      if (open.length === MAX_DEPTH) throw new StrictJsonError(`nested deeper than ${MAX_DEPTH}`);
    } else value = next === QUOTE ? yield* reader.string() : reader.scalar();

    // The value may be the last of several lists and objects.
    for (let isLast = true; isLast;) {
      const parent = open.at(-1);
      if (!parent) {
        reader.end();
        return value;
      }
      parent.items += 1;
      if (parent.items > maxItems)
        throw new StrictJsonError(`too long: a list or an object has more than ${maxItems} items`);
      add(parent, value);
      isLast = !reader.take(COMMA);
      if (isLast) {
        reader.expect(parent.key === undefined ? CLOSE_ARRAY : CLOSE_OBJECT);
        ({ value } = parent);
        open.pop();
      } else if (parent.key !== undefined) parent.key = yield* reader.key();
    }
  }
}

/** Parses a short text by JSON.parse, which is faster; undefined when it has a mistake. */
function parseShort(text: string): unknown {
  if (text.length > SHORT_LENGTH) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const keys = text.match(STRINGS)?.filter((string) => string.endsWith(':')).length ?? 0;
  return countKeys(value, MAX_DEPTH) === keys ? value : undefined;
}

/** The keys of all objects in a value; NaN when they are nested deeper. */
function countKeys(value: unknown, depth: number): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (depth === 0) return NaN;
  const items: unknown[] = Object.values(value);
  let keys = Array.isArray(value) ? 0 : items.length;
  for (const item of items) keys += countKeys(item, depth - 1);
  return keys;
}

/** Whether a parsed value is a JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function add({ value: items, key }: Open, value: unknown): void {
  if (Array.isArray(items)) {
    items.push(value);
    return;
  }
  if (key === undefined) return;
  if (Object.hasOwn(items, key))
    throw new StrictJsonError(`the key ${JSON.stringify(key)} occurs twice in one object`);
  // An assignment to __proto__ would set the prototype.
  if (key === '__proto__')
    Object.defineProperty(items, key, { value, enumerable: true, configurable: true, writable: true });
  else items[key] = value;
}

/** Reads the tokens of a text, one after the other. */
class Reader {
  position = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The next character that is not white space; NaN at the end. */
  peek(): number {
    const code = this.#text.charCodeAt(this.position);
    if (!(code <= SPACE)) return code;
    WHITESPACE.lastIndex = this.position;
    WHITESPACE.test(this.#text);
    this.position = WHITESPACE.lastIndex;
    return this.#text.charCodeAt(this.position);
  }

  /** Takes this character if it is next. */
  take(code: number): boolean {
    if (this.peek() !== code) return false;
    this.position += 1;
    return true;
  }

  expect(code: number): void {
    if (!this.take(code)) throw this.#unexpected();
  }

  end(): void {
    if (!Number.isNaN(this.peek())) throw this.#unexpected();
  }

  *key(): Steps<string> {
    if (this.peek() !== QUOTE) throw this.#unexpected();
    const key = yield* this.string();
    this.expect(COLON);
    return key;
  }

  /** A number or a name. */
  scalar(): unknown {
    NUMBER_OR_NAME.lastIndex = this.position;
    if (!NUMBER_OR_NAME.test(this.#text)) throw this.#unexpected();
    const token = this.#text.slice(this.position, NUMBER_OR_NAME.lastIndex);
    if (token.length > MAX_NUMBER_LENGTH) throw new StrictJsonError('too long: a number has too many digits');
    this.position = NUMBER_OR_NAME.lastIndex;
    return JSON.parse(token);
  }

  *string(): Steps<string> {
    const start = this.position;
    const end = this.#text.indexOf('"', start + 1) + 1;
    const short = end - start > SHORT_LENGTH ? '' : this.#text.slice(start, end);
    if (short !== '' && !short.includes('\\')) {
      this.position = end;
      return this.#textOf(short);
    }
    let text = '';
    this.position += 1;
    while (this.#text.charCodeAt(this.position) !== QUOTE) {
      STRING_PART.lastIndex = 0;
      const part = STRING_PART.exec(this.#text.slice(this.position, this.position + SHORT_LENGTH))?.[0] ?? '';
      if (part === '')
        throw new StrictJsonError(`not valid JSON: the string at position ${start} is not valid`);
      text += this.#textOf(`"${part}"`);
      this.position += part.length;
      yield;
    }
    this.position += 1;
    return text;
  }

  /** A list of numbers; undefined when the list that is next is long or holds something else. */
  row(): unknown[] | undefined {
    const start = this.#text.slice(this.position, this.position + SHORT_LENGTH);
    const row = start.slice(0, start.indexOf(']') + 1);
    if (row === '' || NESTED.test(row.slice(1))) return undefined;
    try {
      const items = JSON.parse(row) as unknown[];
      this.position += row.length;
      return items;
    } catch {
      // Read item by item, it shows where the mistake is.
      return undefined;
    }
  }

  #textOf(string: string): string {
    try {
      return JSON.parse(string) as string;
    } catch {
      throw new StrictJsonError(`not valid JSON: the string before position ${this.position} is not valid`);
    }
  }

  #unexpected(): StrictJsonError {
    if (Number.isNaN(this.peek())) return new StrictJsonError('not valid JSON: it ends too early');
    const found = JSON.stringify(this.#text.slice(this.position, this.position + 1));
    return new StrictJsonError(`not valid JSON: unexpected ${found} at position ${this.position}`);
  }
}
