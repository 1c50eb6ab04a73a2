/** Tests that a fingerprint does not depend on how its JSON is written. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { canonicalJson, fingerprintOf } from '../../src/probe/fingerprint.js';

test('keys are sorted at every depth, lists keep their order, no spaces', () => {
  const value = { b: [2, { d: null, c: 'é "q"' }], a: true };
  assert.equal(canonicalJson(value), '{"a":true,"b":[2,{"c":"é \\"q\\"","d":null}]}');
});

test('numbers are written alike, however they were written before', () => {
  assert.equal(canonicalJson(JSON.parse('[3.0, 0.670, 1e2, -0]')), '[3,0.67,100,0]');
});

test('the id is the start of the SHA-256, and the order of keys does not matter', () => {
  const hash = createHash('sha256').update('{"guidance":3,"layers":["a"]}').digest('hex');
  assert.equal(fingerprintOf({ layers: ['a'], guidance: 3 }), hash.slice(0, 16));
  assert.equal(fingerprintOf({ guidance: 3, layers: ['a'] }), hash.slice(0, 16));
});

test('the example of docs/contract.md is right', () => {
  const page = readFileSync('docs/contract.md', 'utf8');
  const [, document = '', canonical, id] =
    /^`(\{.*\})` is `(\{.*\})` and gives `(\w+)`/m.exec(page) ?? assert.fail('the page has no example');
  const value: unknown = JSON.parse(document);
  assert.deepEqual([canonicalJson(value), fingerprintOf(value)], [canonical, id]);
});
