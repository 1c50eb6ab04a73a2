/** Owns the proof that the JSON form says the same as the binary form. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ProblemError } from '../../src/errors.js';
import { decodeJson } from '../../src/wire/json.js';
import type { ListDtype } from '../../src/wire/nested-lists.js';

const LIST_DTYPES: Record<string, ListDtype> = { token_mask: 'U8', token_ids: 'I64' };

function decode(document: unknown) {
  const text = typeof document === 'string' ? document : JSON.stringify(document);
  return decodeJson(new TextEncoder().encode(text).buffer, (_model, tensor) => LIST_DTYPES[tensor] ?? 'F32');
}

function refusal(document: unknown): ProblemError {
  try {
    decode(document);
  } catch (error) {
    assert.ok(error instanceof ProblemError, String(error));
    assert.equal(error.code, 'malformed_body');
    return error;
  }
  return assert.fail('it was accepted');
}

test('nested lists take the dtype of the probe’s input and the shape of their nesting', () => {
  const { bytes, tensors } = decode({
    tensors: {
      a: [
        [1, 2, 3],
        [4, 5, 6.5],
      ],
      token_mask: [[1, 0]],
      token_ids: [7],
    },
  });
  const a = tensors.get('a');
  assert.deepEqual([a?.dtype, a?.shape], ['F32', [2, 3]]);
  assert.deepEqual([...new Float32Array(bytes.slice(a?.byteOffset).slice(0, 24))], [1, 2, 3, 4, 5, 6.5]);
  assert.deepEqual([tensors.get('token_mask')?.dtype, tensors.get('token_mask')?.shape], ['U8', [1, 2]]);
  const ids = tensors.get('token_ids');
  assert.equal(new DataView(bytes).getBigInt64(ids?.byteOffset ?? 0, true), 7n);
});

test('base64 holds the elements as they are', () => {
  const data = Buffer.from(Uint16Array.of(0x3c00, 0x3800).buffer).toString('base64');
  const { bytes, tensors } = decode({ tensors: { a: { dtype: 'F16', shape: [1, 2], data } } });
  const a = tensors.get('a');
  assert.deepEqual([a?.dtype, a?.shape], ['F16', [1, 2]]);
  assert.deepEqual([...new Uint8Array(bytes, a?.byteOffset, 4)], [0x00, 0x3c, 0x00, 0x38]);
});

test('metadata becomes the texts of the binary form', () => {
  const { metadata } = decode({
    tensors: {},
    model: 'tiny',
    policy: { name: 'top_k', k: 2 },
    step: 5,
    group: null,
  });
  assert.deepEqual(Object.fromEntries(metadata), {
    model: 'tiny',
    policy: '{"name":"top_k","k":2}',
    step: '5',
  });
});

const REFUSED: readonly (readonly [string, unknown, string])[] = [
  ['no JSON', '{"tensors":', 'body'],
  ['a key that occurs twice', '{"tensors":{},"step":5,"step":6}', 'body'],
  ['no object', '[1]', 'body'],
  ['no tensors', '{}', 'tensors'],
  ['ragged lists', { tensors: { a: [[1, 2], [3]] } }, 'tensors.a'],
  ['lists beside numbers', { tensors: { a: [[1], 2] } }, 'tensors.a'],
  ['a text among numbers', { tensors: { a: [1, '2'] } }, 'tensors.a'],
  ['null among numbers', { tensors: { a: [null] } }, 'tensors.a'],
  ['a mask beyond a byte', { tensors: { token_mask: [[256]] } }, 'tensors.token_mask'],
  ['a fraction as an id', { tensors: { token_ids: [1.5] } }, 'tensors.token_ids'],
  ['lists nested too deep', { tensors: { a: [[[[[[[[[1]]]]]]]]] } }, 'tensors.a'],
  ['a number as a tensor', { tensors: { a: 1 } }, 'tensors.a'],
  ['an unknown dtype', { tensors: { a: { dtype: 'F4', shape: [1], data: '' } } }, 'tensors.a'],
  ['an impossible shape', { tensors: { a: { dtype: 'U8', shape: [-1], data: '' } } }, 'tensors.a'],
  ['base64 that is too short', { tensors: { a: { dtype: 'U8', shape: [4], data: 'AAAA' } } }, 'tensors.a'],
  ['what is no base64', { tensors: { a: { dtype: 'U8', shape: [3], data: 'A*AA' } } }, 'tensors.a'],
  ['base64 without its padding', { tensors: { a: { dtype: 'U8', shape: [1], data: 'AA' } } }, 'tensors.a'],
];

for (const [what, document, field] of REFUSED) {
  test(`refused: ${what}`, () => assert.equal(refusal(document).field, field));
}
