/** Reads the text of the operator's JSON files. A mistake is reported with its line and column. */
import { findNodeAtLocation, type JSONPath, parseTree, printParseErrorCode, visit } from 'jsonc-parser';
import type * as z from 'zod';

import { messageOf } from '../errors.js';
import { parseStrictJson } from '../wire/strict-json.js';

const STRICT = { disallowComments: true, allowTrailingComma: false };
const LINE_END = /\r\n|\r|\n/;
const WORD_START = /(?<=[a-z])(?=[A-Z])/;

/**
 * Reads the text of a JSON file by a schema.
 * @throws {Error} with the mistake, its place in the document, and its line and column.
 */
export function parseJsonFile<Content>(schema: z.ZodType<Content>, text: string): Content {
  return parse(schema, text, false);
}

/**
 * Reads the text of a JSON file that holds secrets, any part of which may be at a wrong place.
 * @param schema without records and with messages that show no value.
 * @throws {Error} as parseJsonFile, without any part of the text.
 */
export function parseSecretJsonFile<Content>(schema: z.ZodType<Content>, text: string): Content {
  return parse(schema, text, true);
}

function parse<Content>(schema: z.ZodType<Content>, text: string, isSecret: boolean): Content {
  const parsed = schema.safeParse(parseText(text, isSecret));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (!issue) throw new Error('the file is not valid');
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  const message = isSecret && unknown.length > 0 ? 'it has an unknown member' : issue.message;
  const offset = offsetOf(text, [...issue.path, ...unknown] as JSONPath);
  throw new Error(`${issue.path.join('.') || 'the file'}: ${message} (${position(text, offset)})`);
}

function parseText(text: string, isSecret: boolean): unknown {
  const { document, reason } = read(text);
  if (reason === undefined) return document;
  const mistake = syntaxMistake(text) ?? (isSecret ? 'nested too deep' : reason);
  throw new Error(`not valid JSON: ${mistake}`);
}

/** The reason may quote the text. */
function read(text: string): { readonly document?: unknown; readonly reason?: string } {
  try {
    return { document: parseStrictJson(text) };
  } catch (error) {
    return { reason: messageOf(error) };
  }
}

/** Names no part of the text. */
function syntaxMistake(text: string): string | undefined {
  let mistake: string | undefined;
  const report = (what: string, offset: number): void => {
    mistake ??= `${what} (${position(text, offset)})`;
  };
  const names: Set<string>[] = [];
  visit(
    text,
    {
      onError: (code, offset) =>
        report(printParseErrorCode(code).split(WORD_START).join(' ').toLowerCase(), offset),
      onObjectBegin: () => void names.push(new Set()),
      onObjectEnd: () => void names.pop(),
      onObjectProperty: (name, offset) => {
        if (names.at(-1)?.has(name)) report('a name occurs twice in one object', offset);
        names.at(-1)?.add(name);
      },
    },
    STRICT,
  );
  return mistake;
}

/** The offset of the value at a path; of the innermost object or list around it when there is none. */
function offsetOf(text: string, path: JSONPath): number {
  const tree = parseTree(text, [], STRICT);
  if (!tree) return 0;
  const node = findNodeAtLocation(tree, [...path]);
  if (node || path.length === 0) return (node ?? tree).offset;
  return offsetOf(text, path.slice(0, -1));
}

/** Counted from 1, in the way of editors; a column is a UTF-16 code unit. */
function position(text: string, offset: number): string {
  const lines = text.slice(0, offset).split(LINE_END);
  return `line ${lines.length}, column ${(lines.at(-1) ?? '').length + 1}`;
}
