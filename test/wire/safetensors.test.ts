/** Owns the proof that the safetensors reader takes what the format allows, and nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { ProblemError } from '../../src/errors.js';
import { DTYPE_BYTES, f16ToNumber } from '../../src/wire/dtype.js';
import { encodeSafetensors, type TensorData } from '../../clients/typescript/src/safetensors.js';
import { decodeSafetensors } from '../../src/wire/safetensors.js';
import type { Dtype } from '../../src/wire/tensor.js';

/** Written by the Python library: attention F16 [1,2,3,2,1] = 0/16 ... 11/16, token_mask U8, timestep F32 = 778.7. */
const WRITTEN_BY_PYTHON =
  '8AAAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJtb2RlbCI6InRpbnkiLCJzdGVwIjoiNSJ9LCJ0aW1lc3RlcCI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMV0sImRhdGFfb2Zmc2V0cyI6WzAsNF19LCJhdHRlbnRpb24iOnsiZHR5cGUiOiJGMTYiLCJzaGFwZSI6WzEsMiwzLDIsMV0sImRhdGFfb2Zmc2V0cyI6WzQsMjhdfSwidG9rZW5fbWFzayI6eyJkdHlwZSI6IlU4Iiwic2hhcGUiOlsxLDNdLCJkYXRhX29mZnNldHMiOlsyOCwzMV19fSDNrEJEAAAALAAwADIANAA1ADYANwA4gDgAOYA5AQEB';

const DTYPES = Object.keys(DTYPE_BYTES) as Dtype[];

const tensor = fc
  .record({ dtype: fc.constantFrom(...DTYPES), shape: fc.array(fc.nat(4), { maxLength: 4 }) })
  .chain(({ dtype, shape }) => {
    const size = shape.reduce((product, axis) => product * axis, DTYPE_BYTES[dtype]);
    return fc
      .uint8Array({ minLength: size, maxLength: size })
      .map((data): TensorData => ({ dtype, shape, data }));
  });
const name = fc.string({ unit: 'binary' }).filter((text) => text !== '__metadata__');
const tensors = fc.dictionary(name, tensor, { maxKeys: 6 });
const metadata = fc.dictionary(name, fc.string({ unit: 'grapheme' }), { maxKeys: 4 });

/** A body with any header, right or wrong. */
function body(header: string | Uint8Array, data = new Uint8Array(0), length?: bigint): ArrayBuffer {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes.buffer;
}

function refusal(bytes: ArrayBuffer): ProblemError {
  try {
    decodeSafetensors(bytes);
  } catch (error) {
    assert.ok(error instanceof ProblemError);
    assert.equal(error.code, 'malformed_body');
    return error;
  }
  return assert.fail('it was accepted');
}

test('what the writer writes, the reader reads', () => {
  fc.assert(
    fc.property(tensors, metadata, (written, texts) => {
      const { buffer } = encodeSafetensors(written, texts);
      const read = decodeSafetensors(buffer);
      assert.deepEqual(new Map(read.metadata), new Map(Object.entries(texts)));
      assert.equal(read.tensors.size, Object.keys(written).length);
      for (const [key, { dtype, shape, data }] of Object.entries(written)) {
        const slice = read.tensors.get(key);
        assert.ok(slice);
        assert.deepEqual([slice.dtype, slice.shape], [dtype, shape]);
        assert.deepEqual(new Uint8Array(buffer, slice.byteOffset, slice.byteLength), data);
      }
    }),
  );
});

test('the writer aligns every tensor to its element size', () => {
  fc.assert(
    fc.property(tensors, metadata, (written, texts) => {
      for (const { dtype, byteOffset } of decodeSafetensors(
        encodeSafetensors(written, texts).buffer,
      ).tensors.values()) {
        assert.equal(byteOffset % DTYPE_BYTES[dtype], 0);
      }
    }),
  );
});

test('the writer refuses data that does not fit its shape', () => {
  assert.throws(
    () => encodeSafetensors({ a: { dtype: 'F32', shape: [2], data: new Uint8Array(4) } }),
    RangeError,
  );
  assert.throws(
    () => encodeSafetensors({ a: { dtype: 'F32', shape: [-1], data: new Uint8Array(4) } }),
    RangeError,
  );
});

test('a file of the Python library is read', () => {
  const file = Buffer.from(WRITTEN_BY_PYTHON, 'base64');
  const bytes = new Uint8Array(file).buffer;
  const read = decodeSafetensors(bytes);
  assert.deepEqual(Object.fromEntries(read.metadata), { model: 'tiny', step: '5' });
  const attention = read.tensors.get('attention');
  assert.deepEqual([attention?.dtype, attention?.shape], ['F16', [1, 2, 3, 2, 1]]);
  const halves = new DataView(bytes, attention?.byteOffset, attention?.byteLength);
  assert.equal(f16ToNumber(halves.getUint16(22, true)), 11 / 16);
  assert.equal(
    new DataView(bytes, read.tensors.get('timestep')?.byteOffset).getFloat32(0, true),
    Math.fround(778.7),
  );
});

test('whatever bytes come, the answer is a body or a problem, and a body’s slices lie within it', () => {
  const valid = encodeSafetensors(
    { a: { dtype: 'F32', shape: [2], data: new Float32Array(2) } },
    { model: 'tiny' },
  );
  const mutated = fc
    .array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
    .map((edits) => {
      const bytes = valid.slice();
      for (const [position, byte] of edits) bytes[position] = byte;
      return bytes;
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
      const { buffer } = new Uint8Array(bytes);
      try {
        for (const slice of decodeSafetensors(buffer).tensors.values()) {
          assert.ok(slice.byteOffset + slice.byteLength <= buffer.byteLength);
        }
      } catch (error) {
        assert.ok(error instanceof ProblemError && error.code === 'malformed_body', String(error));
      }
    }),
    { numRuns: 500 },
  );
});

test('a truncated body is refused at every length', () => {
  const { buffer } = encodeSafetensors({ a: { dtype: 'U8', shape: [3], data: new Uint8Array(3) } });
  for (let length = 0; length < buffer.byteLength; length += 1) refusal(buffer.slice(0, length));
});

const one = '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}';

const REFUSED: readonly (readonly [string, ArrayBuffer, RegExp])[] = [
  ['a header length beyond the limit', body('{}', undefined, 65_537n), /65537 bytes, more than/],
  ['a header length beyond all numbers', body('{}', undefined, 2n ** 64n - 1n), /more than/],
  ['a header that is longer than the body', body('{}', undefined, 100n), /ends before/],
  ['a header that does not begin with a brace', body(' {}'), /begin with/],
  ['a header that is no JSON', body('{"a":}'), /not valid JSON/],
  ['a header that is no UTF-8', body(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)), /UTF-8/],
  [
    'a tensor that stands twice',
    body(`${one.slice(0, -1)},${one.slice(1)}`, new Uint8Array(2)),
    /stands twice/,
  ],
  [
    'an unknown dtype',
    body('{"a":{"dtype":"F8_E4M3","shape":[],"data_offsets":[0,1]}}', new Uint8Array(1)),
    /F8_E4M3/,
  ],
  [
    'a dtype by an inherited name',
    body('{"a":{"dtype":"constructor","shape":[],"data_offsets":[0,1]}}', new Uint8Array(1)),
    /dtype/,
  ],
  [
    'an unknown member',
    body('{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1],"x":1}}', new Uint8Array(1)),
    /"x"/,
  ],
  [
    'a shape that overflows',
    body('{"a":{"dtype":"F64","shape":[9007199254740991],"data_offsets":[0,8]}}', new Uint8Array(8)),
    /not possible/,
  ],
  [
    'a shape with a negative axis',
    body('{"a":{"dtype":"U8","shape":[-1,-2],"data_offsets":[0,2]}}', new Uint8Array(2)),
    /not possible/,
  ],
  [
    'a shape that is no list',
    body('{"a":{"dtype":"U8","shape":2,"data_offsets":[0,2]}}', new Uint8Array(2)),
    /no list/,
  ],
  [
    'offsets the wrong way round',
    body('{"a":{"dtype":"U8","shape":[0],"data_offsets":[2,0]}}', new Uint8Array(2)),
    /begin ≤ end/,
  ],
  [
    'offsets that are no whole numbers',
    body('{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2.5]}}', new Uint8Array(2)),
    /data_offsets/,
  ],
  [
    'offsets that do not fit the shape',
    body('{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,2]}}', new Uint8Array(2)),
    /needs 3 bytes/,
  ],
  [
    'a hole before the first tensor',
    body('{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', new Uint8Array(2)),
    /begins at byte 1/,
  ],
  [
    'tensors that overlap',
    body(
      '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}',
      new Uint8Array(3),
    ),
    /begins at byte 1/,
  ],
  ['bytes left over', body(one, new Uint8Array(3)), /end at byte 2/],
  ['bytes missing', body(one, new Uint8Array(1)), /end at byte 2/],
  ['metadata that is no text', body('{"__metadata__":{"a":1}}'), /not a string/],
  ['metadata that is no object', body('{"__metadata__":[]}'), /not an object/],
  ['an entry that is no object', body('{"a":7}'), /not an object/],
  ['more than 64 tensors', encodeSafetensors(emptyTensors(65)).buffer, /65 tensors/],
];

function emptyTensors(count: number): Record<string, TensorData> {
  const entries = Array.from({ length: count }, (_, index) => [
    `t${index}`,
    { dtype: 'U8', shape: [0], data: new Uint8Array(0) },
  ]);
  return Object.fromEntries(entries) as Record<string, TensorData>;
}

for (const [what, bytes, expected] of REFUSED) {
  test(`refused: ${what}`, () => assert.match(refusal(bytes).detail, expected));
}

test('taken: spaces after the header, empty and scalar tensors, 64 of them', () => {
  assert.equal(decodeSafetensors(body(`${one}      `, new Uint8Array(2))).tensors.size, 1);
  assert.equal(decodeSafetensors(body('{}')).tensors.size, 0);
  assert.equal(
    decodeSafetensors(body('{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}', new Uint8Array(1))).tensors
      .size,
    1,
  );
  assert.equal(decodeSafetensors(encodeSafetensors(emptyTensors(64)).buffer).tensors.size, 64);
});
