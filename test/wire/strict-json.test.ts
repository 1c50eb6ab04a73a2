/** Tests that strict JSON is JSON without duplicate keys. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { parseStrictJson, StrictJsonError } from '../../src/wire/strict-json.js';
import { nearlyJson } from '../support/nearly-json.js';

test('agrees with JSON.parse on every text that JSON.stringify writes', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), fc.nat(4), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      assert.deepEqual(parseStrictJson(text), JSON.parse(text));
    }),
  );
});

test('refuses a key that occurs twice, even when it is escaped differently', () => {
  for (const text of ['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '[{"b":{"a":{},"a" :[]}}]', '{"":0,"":1}']) {
    assert.throws(() => parseStrictJson(text), StrictJsonError, text);
  }
});

test('accepts one key in different objects, and a value that equals a key', () => {
  for (const text of ['{"a":{"a":"a"},"b":["a","a"]}', '[{"a":1},{"a":2}]', '{"a":"\\"a\\":","b":1}']) {
    assert.deepEqual(parseStrictJson(text), JSON.parse(text));
  }
});

test('refuses text that is not JSON or is nested too deep', () => {
  assert.throws(() => parseStrictJson('{'), StrictJsonError);
  assert.throws(() => parseStrictJson(''), StrictJsonError);
  assert.throws(() => parseStrictJson('['.repeat(65) + ']'.repeat(65)), StrictJsonError);
  assert.doesNotThrow(() => parseStrictJson('['.repeat(64) + ']'.repeat(64)));
});

test('refuses quotes outside of strings in linear time', { timeout: 20_000 }, () => {
  const quotes = '\\"'.repeat(1_000_000);
  for (const text of [quotes, `"${quotes}`, `"${quotes}\\`]) {
    assert.throws(() => parseStrictJson(text), StrictJsonError);
  }
});

test('refuses more brackets and strings than are allowed', () => {
  assert.doesNotThrow(() => parseStrictJson('{"a":["b",1,2]}', 6));
  assert.throws(() => parseStrictJson('{"a":["b",1,2]}', 5), StrictJsonError);
});

test('agrees with JSON.parse about every text that is nearly JSON', () => {
  const isJson = (text: string): boolean => {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  };
  fc.assert(
    fc.property(nearlyJson, (text) => {
      if (isJson(text)) assert.deepEqual(parseStrictJson(text), JSON.parse(text));
      else assert.throws(() => parseStrictJson(text), StrictJsonError, text);
    }),
    { numRuns: 5000 },
  );
});

test('long strings with escapes are read like short ones, and __proto__ is a key like any other', () => {
  for (const unit of ['\\"', '\\\\', 'a', '\\ud83d\\ude00', '😀', '\\/'])
    for (const length of [4000, 20_000]) {
      const text = `["${unit.repeat(length)}", {"${unit.repeat(length)}": 1}]`;
      assert.deepEqual(parseStrictJson(text), JSON.parse(text));
    }
  const parsed = parseStrictJson('{"__proto__":{"a":1}}') as object;
  assert.deepEqual(Object.keys(parsed), ['__proto__']);
  assert.equal(Object.getPrototypeOf(parsed), Object.prototype);
});
