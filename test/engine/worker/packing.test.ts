/** Slices arrive in the worker unchanged, and a slice that no graph takes is not sent. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { layoutOf } from '../../../src/engine/worker/input-layout.js';
import type { ManifestInput } from '../../../src/probe/manifest.js';
import { packSlices, unpackSlices } from '../../../src/engine/worker/packing.js';
import { sliceOf } from '../../../src/engine/worker/sample-slice.js';
import { tinyInputs } from '../../support/onnx.js';
import { decodedBody, randomSamples, tensorsOf } from '../../support/samples.js';

const SIZE = { layers: 2, height: 1, width: 2 };
const LAYOUTS = tinyInputs(SIZE.layers, SIZE.height, SIZE.width).map(layoutOf);

test('every slice is unpacked as it was packed, in every float dtype', () => {
  const bodies = (['F16', 'BF16', 'F32'] as const).map((dtype, index) =>
    decodedBody(tensorsOf(randomSamples(SIZE, 3 + index, 4), dtype)),
  );
  const slices = bodies.flatMap((body) => [sliceOf(body), sliceOf(body, 1, 2)]);
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

test('a slice that no graph takes is not packed', () => {
  const tensors = tensorsOf(randomSamples(SIZE, 3, 2));
  const [more, mistyped]: ManifestInput[] = [
    { name: 'ids', dtype: 'I64', shape: ['batch'] },
    { name: 'timestep', dtype: 'F32', shape: ['batch', 2] },
  ];
  const slice = sliceOf(decodedBody(tensors));
  assert.ok(more && mistyped);
  assert.throws(() => packSlices([slice], [...LAYOUTS, layoutOf(more)]), /no tensor ids/);
  assert.throws(() => packSlices([slice], [layoutOf(mistyped)]), /timestep does not have the probe's shape/);
  const bool = decodedBody({ ...tensors, ids: { dtype: 'BOOL', shape: [2], data: Uint8Array.of(0, 1) } });
  assert.throws(() => packSlices([sliceOf(bool)], [layoutOf(more)]), /no graph takes BOOL/);
});
