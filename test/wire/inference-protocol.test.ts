/** Tests the reader and the writer of the Open Inference Protocol. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { ProblemError } from '../../src/errors.js';
import { decodeInference, encodeInference } from '../../src/wire/inference-protocol.js';
import { inferenceRequest } from '../../bench/load/inference-request.js';
import { anyTensors } from '../support/tensors.js';

function decode(body: Uint8Array, jsonBytes = body.length) {
  return decodeInference(Uint8Array.from(body).buffer, jsonBytes, 4096);
}

function decodeJson(document: object) {
  return decode(Buffer.from(JSON.stringify(document)));
}

function refusal(read: () => unknown): ProblemError {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof ProblemError);
    assert.equal(error.code, 'malformed_body');
    return error;
  }
  return assert.fail('it was accepted');
}

test('binary tensors of all datatypes are read in place', () => {
  fc.assert(
    fc.property(anyTensors, (tensors) => {
      const { body, jsonBytes } = inferenceRequest(tensors);
      const read = decode(body, jsonBytes);
      assert.deepEqual([...read.tensors.keys()], Object.keys(tensors));
      for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
        const slice = read.tensors.get(name) ?? assert.fail();
        assert.deepEqual([slice.dtype, slice.shape], [dtype, shape]);
        const bytes = new Uint8Array(read.bytes, slice.byteOffset, slice.byteLength);
        assert.deepEqual(Buffer.from(bytes), Buffer.from(data.buffer, data.byteOffset, data.byteLength));
      }
    }),
  );
});

test('any bytes are read, or refused with a problem', () => {
  const document = fc.json().map((text) => Buffer.from(text));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), document), fc.nat(64), (bytes, jsonBytes) => {
      try {
        decode(Buffer.from(bytes), Math.min(jsonBytes, bytes.length));
      } catch (error) {
        assert.ok(error instanceof ProblemError, String(error));
      }
    }),
  );
});

test('lists are read flat and nested, beside binary tensors', () => {
  const { body, jsonBytes } = inferenceRequest({
    timestep: { dtype: 'F32', shape: [1], data: Float32Array.of(778.5) },
  });
  const document = JSON.parse(body.subarray(0, jsonBytes).toString()) as { inputs: object[] };
  document.inputs.push({ name: 'token_mask', datatype: 'UINT8', shape: [2, 2], data: [1, 1, 1, 0] });
  document.inputs.push({ name: 'attention', datatype: 'FP16', shape: [2, 1], data: [[0.25], [0.5]] });
  const json = Buffer.from(JSON.stringify(document));
  const read = decode(Buffer.concat([json, body.subarray(jsonBytes)]), json.length);
  const valuesOf = (name: string, kind: typeof Float32Array | typeof Uint8Array) => {
    const { byteOffset, byteLength } = read.tensors.get(name) ?? assert.fail();
    return [...new kind(new Uint8Array(read.bytes).slice(byteOffset, byteOffset + byteLength).buffer)];
  };
  assert.deepEqual(valuesOf('timestep', Float32Array), [778.5]);
  assert.deepEqual(valuesOf('token_mask', Uint8Array), [1, 1, 1, 0]);
  assert.deepEqual(valuesOf('attention', Float32Array), [0.25, 0.5]);
  assert.deepEqual(read.tensors.get('attention')?.shape, [2, 1]);
});

test('parameters become metadata, except those of the protocol', () => {
  const parameters = {
    group: 'g',
    step: 5,
    policy: { name: 'top_k', k: 1 },
    timeout: 2500,
    priority: 3,
    sequence_id: 1,
  };
  const read = decodeJson({ id: 'a', parameters, inputs: [] });
  assert.deepEqual(Object.fromEntries(read.metadata), {
    group: 'g',
    step: '5',
    policy: '{"name":"top_k","k":1}',
  });
  assert.deepEqual([read.id, read.timeoutMs, read.outputs, read.isBinary], ['a', 2.5, undefined, false]);
});

test('a timeout of 0 is none, as tritonclient sends it', () => {
  assert.equal(decodeJson({ parameters: { timeout: 0 }, inputs: [] }).timeoutMs, undefined);
});

test('the wanted outputs and their forms are read', () => {
  const outputs = [{ name: 'score', parameters: { binary_data: true } }, { name: 'rank' }];
  assert.deepEqual(
    [...(decodeJson({ inputs: [], outputs }).outputs ?? [])],
    [
      ['score', true],
      ['rank', false],
    ],
  );
});

for (const [what, document, field] of [
  ['an id that is no text', { id: 1, inputs: [] }, 'id'],
  ['no inputs', {}, 'inputs'],
  [
    'an unknown datatype',
    { inputs: [{ name: 'a', datatype: 'BYTES', shape: [1], data: ['x'] }] },
    'inputs.0',
  ],
  ['an impossible shape', { inputs: [{ name: 'a', datatype: 'FP32', shape: [-1], data: [] }] }, 'inputs.0'],
  ['too few numbers', { inputs: [{ name: 'a', datatype: 'FP32', shape: [2], data: [1] }] }, 'inputs.0'],
  [
    'a text among numbers',
    { inputs: [{ name: 'a', datatype: 'FP32', shape: [1], data: ['1'] }] },
    'inputs.0',
  ],
  ['no elements', { inputs: [{ name: 'a', datatype: 'FP32', shape: [1] }] }, 'inputs.0'],
  [
    'a wrong binary size',
    { inputs: [{ name: 'a', datatype: 'FP32', shape: [1], parameters: { binary_data_size: 8 } }] },
    'inputs.0',
  ],
  [
    'bytes that are not there',
    { inputs: [{ name: 'a', datatype: 'FP32', shape: [1], parameters: { binary_data_size: 4 } }] },
    'inputs.0',
  ],
  [
    'a name twice',
    { inputs: [0, 1].map(() => ({ name: 'a', datatype: 'FP32', shape: [0], data: [] })) },
    'inputs.1',
  ],
  ['a negative timeout', { parameters: { timeout: -1 }, inputs: [] }, 'parameters.timeout'],
  ['an output without name', { inputs: [], outputs: [{}] }, 'outputs'],
] as const) {
  test(`${what} is refused`, () => {
    assert.equal(refusal(() => decodeJson(document)).field, field);
  });
}

test('bytes behind the last input are refused', () => {
  const { body, jsonBytes } = inferenceRequest({});
  assert.equal(refusal(() => decode(Buffer.concat([body, Buffer.from('x')]), jsonBytes)).field, 'body');
});

test('an answer holds values as JSON or behind it, and null where there is none', () => {
  const tensors = [
    { name: 'score', datatype: 'FP32', values: [0.5, null] },
    { name: 'decision', datatype: 'UINT8', values: [1, 0] },
    { name: 'rank', datatype: 'INT32', values: [2, 1] },
  ] as const;
  const plain = encodeInference({ id: 'a' }, tensors, () => false);
  assert.equal(plain.jsonBytes, undefined);
  assert.deepEqual((JSON.parse(plain.body) as { outputs: object[] }).outputs[0], {
    name: 'score',
    datatype: 'FP32',
    shape: [2],
    data: [0.5, null],
  });
  const answer = encodeInference({}, tensors, () => true);
  assert.ok(answer.jsonBytes !== undefined);
  const binary = answer.body.subarray(answer.jsonBytes);
  assert.equal(binary.length, 8 + 2 + 8);
  assert.equal(binary.readFloatLE(0), 0.5);
  assert.ok(Number.isNaN(binary.readFloatLE(4)));
  assert.deepEqual([...binary.subarray(8, 10)], [1, 0]);
  assert.equal(binary.readInt32LE(10), 2);
});
