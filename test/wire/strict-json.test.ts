/** Tests that strict JSON is JSON without duplicate keys. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { parseStrictJson, StrictJsonError } from '../../src/wire/strict-json.js';

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
