/**
 * Parses JSON more strictly than JSON.parse: a key that occurs twice in one object is an error. JSON.parse keeps the last
 * one silently, so that two readers of one text could see different requests.
 */
import { quoted } from '../disclosure.js';

const MAX_DEPTH = 64;
/**
 * The brackets and the strings of a text; a colon after a string makes it a key. A string without an end reaches to the end
 * of the text: otherwise a search for each of its escaped quotes would take quadratic time.
 */
const TOKEN = /[{}[\]]|"([^"\\]*(?:\\[^][^"\\]*)*)(?:"(\s*:)?|\\?$)/g;

/** Why a text is refused. */
export class StrictJsonError extends Error {}

/**
 * Parses JSON without duplicate keys, nested at most 64 deep.
 * @param maxTokens the most brackets and strings; each takes longer to check than to parse.
 * @throws {StrictJsonError} with a reason that can be shown to the sender.
 */
export function parseStrictJson(text: string, maxTokens = Infinity): unknown {
  try {
    // First, because JSON.parse needs more than 50 bytes of memory per level.
    checkTokens(text, maxTokens);
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof StrictJsonError) throw error;
    // oxlint-disable-next-line preserve-caught-error -- its message quotes the text, and the log shows causes
    throw new StrictJsonError(`not valid JSON: ${(error as Error).message}`);
  }
}

/** Whether a parsed value is a JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checkTokens(text: string, maxTokens: number): void {
  /** The keys of each list and object that is open; those of a list stay empty. */
  const open: Set<string>[] = [];
  let tokens = 0;
  for (const [token, string = '', colon] of text.matchAll(TOKEN)) {
    if (token === '{' || token === '[') open.push(new Set());
    else if (token === '}' || token === ']') open.pop();
    else if (colon !== undefined) addKey(open.at(-1), string);
    tokens += 1;
    if (tokens > maxTokens) throw new StrictJsonError(`longer than ${maxTokens} brackets and strings`);
    if (open.length > MAX_DEPTH) throw new StrictJsonError(`nested deeper than ${MAX_DEPTH}`);
  }
}

/** @param raw the text between the quotes. */
function addKey(keys: Set<string> | undefined, raw: string): void {
  const key = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw;
  if (keys?.has(key)) throw new StrictJsonError(`the key ${quoted(key)} occurs twice in one object`);
  keys?.add(key);
}
