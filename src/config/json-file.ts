/** Reads the text of the operator's JSON files. A mistake is reported with its line and column. */
import type * as z from 'zod';

import { messageOf } from '../errors.js';
import { parseStrictJson } from '../wire/strict-json.js';

const MAX_DEPTH = 64;
const SPACE = /[ \t\n\r]*/y;
const STRING = /"[^"\\]*(?:\\[^][^"\\]*)*"/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|(?:true|false|null)(?!\w)/y;
const LINE_END = /\r\n|\r|\n/;

type Path = readonly PropertyKey[];

/** A mistake in a text, and the offset at which it is. */
class Mistake extends Error {
  readonly offset: number;

  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

/**
 * Reads the text of a JSON file by a schema.
 * @throws {Error} with the mistake, its place in the document, and its line and column.
 */
export function parseJsonFile<Content>(schema: z.ZodType<Content>, text: string): Content {
  return parse(schema, text, ({ message }) => message, false);
}

/**
 * Reads the text of a JSON file that holds secrets, any part of which may be at a wrong place.
 * @param schema without records and with messages that show no value.
 * @throws {Error} as parseJsonFile, without any part of the text.
 */
export function parseSecretJsonFile<Content>(schema: z.ZodType<Content>, text: string): Content {
  const describe = ({ code, message }: z.core.$ZodIssue): string =>
    code === 'unrecognized_keys' ? 'it has an unknown member' : message;
  return parse(schema, text, describe, true);
}

function parse<Content>(
  schema: z.ZodType<Content>,
  text: string,
  describe: (issue: z.core.$ZodIssue) => string,
  isSecret: boolean,
): Content {
  const { document, reason } = read(text);
  // Without a cause: the message of JSON.parse has a part of the text, and the log shows causes.
  if (reason !== undefined) throw new Error(describeFault(text, isSecret, reason));
  const parsed = schema.safeParse(document);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (!issue) throw new Error('the file is not valid');
  const keys = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  const offset = new JsonPlaces(text).offsetOf([...issue.path, ...keys]);
  throw new Error(`${issue.path.join('.') || 'the file'}: ${describe(issue)} (${position(text, offset)})`);
}

function read(text: string): { readonly document?: unknown; readonly reason?: string } {
  try {
    return { document: parseStrictJson(text) };
  } catch (error) {
    return { reason: messageOf(error) };
  }
}

function describeFault(text: string, isSecret: boolean, otherwise: string): string {
  const mistake = JsonPlaces.mistakeIn(text, isSecret);
  if (mistake) return `not valid JSON: ${mistake.message} (${position(text, mistake.offset)})`;
  return isSecret ? 'not valid JSON' : otherwise;
}

/** Counted from 1, in the way of editors; a column is a UTF-16 code unit. */
function position(text: string, offset: number): string {
  const lines = text.slice(0, offset).split(LINE_END);
  return `line ${lines.length}, column ${(lines.at(-1) ?? '').length + 1}`;
}

/** Where each value of a JSON text is. Slower than JSON.parse, so it is only used once a mistake is known. */
class JsonPlaces {
  readonly #text: string;
  readonly #isSecret: boolean;
  readonly #offsets = new Map<string, number>();
  #at = 0;

  /** @throws {Mistake} when the text is not strict JSON. */
  constructor(text: string, isSecret = false) {
    this.#text = text;
    this.#isSecret = isSecret;
    this.#value([]);
    if (this.#at < text.length) this.#expected('the end of the file');
  }

  static mistakeIn(text: string, isSecret: boolean): Mistake | undefined {
    try {
      return void new JsonPlaces(text, isSecret);
    } catch (error) {
      if (error instanceof Mistake) return error;
      throw error;
    }
  }

  /** The offset of the value at a path; of the innermost object or list around it when there is none. */
  offsetOf(path: Path): number {
    return this.#offsets.get(keyOf(path)) ?? (path.length === 0 ? 0 : this.offsetOf(path.slice(0, -1)));
  }

  #value(path: Path): void {
    this.#take(SPACE);
    if (path.length > MAX_DEPTH) throw new Mistake(this.#at, `nested deeper than ${MAX_DEPTH}`);
    this.#offsets.set(keyOf(path), this.#at);
    const opening = this.#text[this.#at];
    if (opening === '{') this.#members(path);
    else if (opening === '[') this.#items(path);
    else if (opening === '"') this.#string('the end of this string, or a valid escape in it');
    else if (this.#take(SCALAR) === undefined) this.#expected('a value');
    this.#take(SPACE);
  }

  #members(path: Path): void {
    const names = new Set<string>();
    this.#list('}', () => {
      const offset = this.#at;
      const name = this.#string('a name in double quotes');
      if (names.has(name)) {
        const shown = this.#isSecret ? 'a name' : `the name ${JSON.stringify(name)}`;
        throw new Mistake(offset, `${shown} occurs twice in one object`);
      }
      names.add(name);
      this.#take(SPACE);
      if (this.#text[this.#at] !== ':') this.#expected('":"');
      this.#at += 1;
      this.#value([...path, name]);
    });
  }

  #items(path: Path): void {
    let index = 0;
    this.#list(']', () => {
      this.#value([...path, index]);
      index += 1;
    });
  }

  #list(closing: string, readItem: () => void): void {
    this.#at += 1;
    this.#take(SPACE);
    if (this.#text[this.#at] !== closing) {
      for (;;) {
        readItem();
        if (this.#text[this.#at] !== ',') break;
        this.#at += 1;
        this.#take(SPACE);
      }
      if (this.#text[this.#at] !== closing) this.#expected(`"," or "${closing}"`);
    }
    this.#at += 1;
  }

  #string(expected: string): string {
    const start = this.#at;
    const token = this.#take(STRING);
    try {
      if (token !== undefined) return JSON.parse(token) as string;
    } catch {
      // A wrong escape or a line end in it.
    }
    this.#at = start;
    return this.#expected(expected);
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [];
    this.#at += found?.length ?? 0;
    return found;
  }

  #expected(what: string): never {
    throw new Mistake(this.#at, `expected ${what}`);
  }
}

function keyOf(path: Path): string {
  return JSON.stringify(path.map(String));
}
