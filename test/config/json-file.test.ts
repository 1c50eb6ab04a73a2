/** The operator's files are read as editors save them, and each mistake is reported with its line and column. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

import fc from 'fast-check';
import * as z from 'zod';

import { parseJsonFile, parseSecretJsonFile } from '../../src/config/json-file.js';
import { parseApiKeys, parseReceiptKeys } from '../../src/config/key-files.js';
import { openOperatorFiles } from '../../src/config/operator-files.js';
import { parsePolicies, policyFor } from '../../src/config/policies.js';
import { decodeText } from '../../src/config/reloading-file.js';
import { nearlyJson } from '../support/nearly-json.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const LINES = ['{', '  "default": {', '    "policy": { "name": "top_k", "k": 2 }', '  }', '}'];
const TEXT = LINES.join('\n');

const messageOf = (read: () => unknown): string => {
  try {
    read();
  } catch (error) {
    return (error as Error).message;
  }
  return 'no mistake';
};

for (const [what, bytes] of [
  ['a byte-order mark', Buffer.from(`\uFEFF${TEXT}`)],
  ['CRLF', Buffer.from(LINES.join('\r\n'))],
  ['a byte-order mark and CRLF', Buffer.from(`\uFEFF${LINES.join('\r\n')}\r\n`)],
  ['UTF-16', Buffer.from(`\uFEFF${TEXT}`, 'utf16le')],
] as const) {
  test(`a file with ${what} is read`, () => {
    assert.deepEqual(policyFor(parsePolicies(decodeText(bytes)), 'any'), { name: 'top_k', k: 2 });
  });
}

test('every file of the operator may have a byte-order mark and CRLF', async (t) => {
  const folder = await temporaryFolder(t);
  const write = async (name: string, content: object): Promise<string> => {
    const file = path.join(folder, name);
    await writeFile(file, `\uFEFF${JSON.stringify(content, null, 2).replaceAll('\n', '\r\n')}`);
    return file;
  };
  const silent = { info: () => {}, warn: () => {}, error: () => {} };
  const opened = await openOperatorFiles({
    policiesFile: await write('policies', { default: { policy: { name: 'score_only' } } }),
    feedbackKeysFile: await write('keys', {
      keys: [{ id: 'k', secret: Buffer.alloc(32).toString('base64') }],
    }),
    apiKeysFile: await write('api', { keys: [{ id: 'a', sha256: '0'.repeat(64) }] }),
    log: silent,
    onReload: () => {},
  });
  t.after(() => opened.close());
  assert.equal(policyFor(opened.policies(), 'any').name, 'score_only');
  assert.equal(opened.keys().currentId, 'k');
  assert.deepEqual(opened.apiKeys()?.ids(), ['a']);
});

test('bytes that are not text are refused', () => {
  assert.throws(() => decodeText(Buffer.from([0x7b, 0xff, 0x7d])), /not UTF-8 text/);
});

for (const [text, expected] of [
  ['', 'value expected (line 1, column 1)'],
  ['{\n  "a": 1,\n}', 'property name expected (line 3, column 1)'],
  ['{\r\n  "a": 1\r\n  "b": 2\r\n}', 'comma expected (line 3, column 3)'],
  ['{"a": [1, 2}', 'comma expected (line 1, column 12)'],
  ['{"a" 1}', 'colon expected (line 1, column 6)'],
  ['{"a": 01}', 'comma expected (line 1, column 8)'],
  ['{"a": // why\n 1}', 'invalid comment token (line 1, column 7)'],
  ['{"a": "b\n"}', 'unexpected end of string (line 1, column 7)'],
  ['{"a": 1} 2', 'end of file expected (line 1, column 10)'],
  ['{"a": 1,\n "a": 2}', 'a name occurs twice in one object (line 2, column 2)'],
  [`${'['.repeat(100)}${']'.repeat(100)}`, 'nested deeper than 64'],
] as const) {
  test(`the mistake in ${JSON.stringify(text.slice(0, 30))} is reported with its place`, () => {
    assert.equal(
      messageOf(() => parseJsonFile(z.unknown(), text)),
      `not valid JSON: ${expected}`,
    );
  });
}

test('a value that the schema refuses is reported with its place', () => {
  const text = LINES.join('\r\n').replace('"k": 2', '"k": "two"');
  assert.match(
    messageOf(() => parsePolicies(text)),
    /^default\.policy\.k: .* \(line 3, column 39\)$/,
  );
  const missing = TEXT.replace(', "k": 2', '');
  assert.match(
    messageOf(() => parsePolicies(missing)),
    /^default\.policy\.k: .* \(line 3, column 15\)$/,
  );
  const unknown = TEXT.replace('"default": {', '"default": {\n    "polcy": 1,');
  assert.match(
    messageOf(() => parsePolicies(unknown)),
    /^default: .*"polcy".* \(line 3, column 14\)$/,
  );
});

test('every text that JSON.parse refuses is reported with a place', () => {
  fc.assert(
    fc.property(nearlyJson, (text) => {
      let isValid = true;
      try {
        JSON.parse(text);
      } catch {
        isValid = false;
      }
      fc.pre(!isValid);
      assert.match(
        messageOf(() => parseJsonFile(z.unknown(), text)),
        /^not valid JSON: .* \(line \d+, column \d+\)$/,
      );
    }),
  );
});

test('a mistake in a key file is reported with its place and without a part of the text', () => {
  const secret = 'geheimgeheim';
  for (const text of [
    `{"keys": [{"id": "k", "secret": ${secret}}]}`,
    `{"keys": [{"id": "k", "secret": "${secret}}]}`,
    `{"keys": [{"id": "k", "secret": "${secret}"}]}`,
    `{"keys": [{"id": "k", "${secret}": 1}]}`,
    `{"keys": [{"id": "k", "${secret}": 1, "${secret}": 2}]}`,
    `{"${secret}": 1}`,
    secret,
  ]) {
    for (const read of [
      parseReceiptKeys,
      parseApiKeys,
      (all: string) => parseSecretJsonFile(z.null(), all),
    ]) {
      const message = messageOf(() => read(text));
      assert.match(message, / \(line 1, column \d+\)$/);
      assert.doesNotMatch(message, /geheim/);
    }
  }
});
