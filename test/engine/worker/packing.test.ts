/** Owns the proof that parts arrive in the worker as they were, and that none leaves that no graph could take. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { layoutOf } from '../../../src/engine/worker/input-layout.js';
import type { ManifestInput } from '../../../src/probe/manifest.js';
import { packSlices, unpackSlices } from '../../../src/engine/worker/packing.js';
import { sliceOf, wholeSlice } from '../../../src/engine/worker/slice-samples.js';
import { tinyInputs } from '../../support/onnx.js';
import { decodedBody, randomSamples, tensorsOf } from '../../support/samples.js';

const SIZE = { layers: 2, height: 1, width: 2 };
const LAYOUTS = tinyInputs(SIZE.layers, SIZE.height, SIZE.width).map(layoutOf);

test('every slice is described as it is, in whatever float it came', () => {
  const bodies = (['F16', 'BF16', 'F32'] as const).map((dtype, index) =>
    decodedBody(tensorsOf(randomSamples(SIZE, 3 + index, 4), dtype)),
  );
  const slices = bodies.flatMap((body) => [wholeSlice(body), sliceOf(body, 1, 2)]);
  const arrived = unpackSlices(structuredClone(packSlices(slices, LAYOUTS)), LAYOUTS);
  assert.equal(arrived.length, slices.length);
  for (const [index, slice] of arrived.entries()) {
    const sent = slices[index];
    assert.ok(sent);
    assert.deepEqual([slice.first, slice.samples], [sent.first, sent.samples]);
    assert.equal(slice.tokens, sent.tensors.get('token_mask')?.shape[1]);
    for (const [place, { dtype, byteOffset, byteLength }] of slice.tensors.entries()) {
      const tensor = sent.tensors.get(LAYOUTS[place]?.input.name ?? '');
      assert.deepEqual(
        { dtype, byteOffset, byteLength },
        { dtype: tensor?.dtype, byteOffset: tensor?.byteOffset, byteLength: tensor?.byteLength },
      );
    }
  }
});

test('a slice that no graph could take does not leave', () => {
  const tensors = tensorsOf(randomSamples(SIZE, 3, 2));
  const [more, mistyped]: ManifestInput[] = [
    { name: 'ids', dtype: 'I64', shape: ['batch'] },
    { name: 'timestep', dtype: 'F32', shape: ['batch', 2] },
  ];
  const slice = wholeSlice(decodedBody(tensors));
  assert.ok(more && mistyped);
  assert.throws(() => packSlices([slice], [...LAYOUTS, layoutOf(more)]), /no tensor ids/);
  assert.throws(() => packSlices([slice], [layoutOf(mistyped)]), /timestep is not of the probe's shape/);
  const bool = decodedBody({ ...tensors, ids: { dtype: 'BOOL', shape: [2], data: Uint8Array.of(0, 1) } });
  assert.throws(() => packSlices([wholeSlice(bool)], [layoutOf(more)]), /no graph takes BOOL/);
});
