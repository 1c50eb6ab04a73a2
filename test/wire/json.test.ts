/** Tests the JSON form of a request: it gives the same body as the binary form, by the same rules and limits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { encodeSafetensors } from '../../clients/typescript/src/safetensors.js';
import { ProblemError } from '../../src/errors.js';
import { decodeJson } from '../../src/wire/json.js';
import type { ListDtype } from '../../src/wire/nested-lists.js';
import { decodeSafetensors } from '../../src/wire/safetensors.js';
import { type DecodedBody, DTYPE_BYTES, type TensorData } from '../../src/wire/tensor.js';
import { anyMetadata, anyTensors, emptyTensors } from '../support/tensors.js';

const LIST_DTYPES: Record<string, ListDtype> = { token_mask: 'U8', token_ids: 'I64' };

function decode(document: unknown) {
  const text = typeof document === 'string' ? document : JSON.stringify(document);
  return decodeJson(new TextEncoder().encode(text).buffer, (_model, tensor) => LIST_DTYPES[tensor] ?? 'F32');
}

/** The document of a request, its tensors as base64. */
function documentOf(written: Readonly<Record<string, TensorData>>, texts: Readonly<Record<string, string>>) {
  const members = Object.entries(written).map(([name, { dtype, shape, data }]) => {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    return [name, { dtype, shape, data: bytes.toString('base64') }];
  });
  return { ...texts, tensors: Object.fromEntries(members) as Record<string, unknown> };
}

/** What a body holds, without where it lies in memory. */
function contentOf({ bytes, tensors, metadata }: DecodedBody) {
  const content = [...tensors].map(([name, { dtype, shape, byteOffset, byteLength }]) => {
    return [name, { dtype, shape, bytes: [...new Uint8Array(bytes, byteOffset, byteLength)] }] as const;
  });
  return { tensors: new Map(content), metadata: new Map(metadata) };
}

function refusal(document: unknown, decodeDocument: (document: unknown) => unknown = decode): ProblemError {
  try {
    decodeDocument(document);
  } catch (error) {
    assert.ok(error instanceof ProblemError, String(error));
    assert.equal(error.code, 'malformed_body');
    return error;
  }
  return assert.fail('it was accepted');
}

test('the JSON form and the binary form give the same body, in aligned shared memory', () => {
  fc.assert(
    fc.property(anyTensors, anyMetadata, (written, texts) => {
      const body = decode(documentOf(written, texts));
      assert.deepEqual(
        contentOf(body),
        contentOf(decodeSafetensors(encodeSafetensors(written, texts).buffer)),
      );
      assert.ok(body.bytes instanceof SharedArrayBuffer);
      for (const { dtype, byteOffset } of body.tensors.values())
        assert.equal(byteOffset % DTYPE_BYTES[dtype], 0);
    }),
    { examples: [[Object.fromEntries([['__proto__', emptyTensors(1)['t0'] ?? assert.fail()]]), {}]] },
  );
});

test('the rules and limits of the binary form apply to the JSON form', () => {
  const binary = (count: number) => decodeSafetensors(encodeSafetensors(emptyTensors(count)).buffer);
  assert.equal(decode(documentOf(emptyTensors(64), {})).tensors.size, 64);
  assert.equal(refusal(documentOf(emptyTensors(65), {})).detail, refusal(65, () => binary(65)).detail);
  const [reserved] = Object.values(emptyTensors(1));
  assert.ok(reserved);
  assert.match(refusal(documentOf({ __metadata__: reserved }, {})).detail, /__metadata__ is not a string/);
  const long = (length: number) => documentOf({}, { group: 'x'.repeat(length) });
  assert.equal(decode(long(65_000)).metadata.get('group')?.length, 65_000);
  assert.match(refusal(long(65_536)).detail, /65536 allowed/);
  assert.match(
    refusal(0, () => decodeSafetensors(encodeSafetensors({}, { group: 'x'.repeat(65_536) }).buffer)).detail,
    /65536 allowed/,
  );
});

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

test('metadata becomes texts as in the binary form', () => {
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
  ['text that is not JSON', '{"tensors":', 'body'],
  ['a key that occurs twice', '{"tensors":{},"step":5,"step":6}', 'body'],
  ['a document that is not an object', '[1]', 'body'],
  ['no tensors', '{}', 'tensors'],
  ['ragged lists', { tensors: { a: [[1, 2], [3]] } }, 'tensors.a'],
  ['lists beside numbers', { tensors: { a: [[1], 2] } }, 'tensors.a'],
  ['a text among numbers', { tensors: { a: [1, '2'] } }, 'tensors.a'],
  ['null among numbers', { tensors: { a: [null] } }, 'tensors.a'],
  ['a mask beyond a byte', { tensors: { token_mask: [[256]] } }, 'tensors.token_mask'],
  ['a fraction as an id', { tensors: { token_ids: [1.5] } }, 'tensors.token_ids'],
  ['lists nested too deeply', { tensors: { a: [[[[[[[[[1]]]]]]]]] } }, 'tensors.a'],
  ['a number as a tensor', { tensors: { a: 1 } }, 'tensors.a'],
  ['an unknown dtype', { tensors: { a: { dtype: 'F4', shape: [1], data: '' } } }, 'tensors.a'],
  ['an impossible shape', { tensors: { a: { dtype: 'U8', shape: [-1], data: '' } } }, 'tensors.a'],
  ['base64 that is too short', { tensors: { a: { dtype: 'U8', shape: [4], data: 'AAAA' } } }, 'tensors.a'],
  ['text that is not base64', { tensors: { a: { dtype: 'U8', shape: [3], data: 'A*AA' } } }, 'tensors.a'],
  ['base64 without its padding', { tensors: { a: { dtype: 'U8', shape: [1], data: 'AA' } } }, 'tensors.a'],
];

for (const [what, document, field] of REFUSED) {
  test(`refused: ${what}`, () => assert.equal(refusal(document).field, field));
}
