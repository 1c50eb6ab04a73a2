/** Owns the proof that parts arrive in the worker as they were, and that none leaves that no graph could take. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { layoutOf } from '../../../src/engine/worker/input-layout.js';
import type { ManifestInput } from '../../../src/probe/manifest.js';
import { packParts, unpackParts } from '../../../src/engine/worker/packing.js';
import { partOf, wholePart } from '../../../src/engine/worker/slice-samples.js';
import { tinyInputs } from '../../support/onnx.js';
import { decodedBody, randomSamples, tensorsOf } from '../../support/samples.js';

const SIZE = { layers: 2, height: 1, width: 2 };
const LAYOUTS = tinyInputs(SIZE.layers, SIZE.height, SIZE.width).map(layoutOf);

test('every part is described as it is, in whatever float it came', () => {
  const bodies = (['F16', 'BF16', 'F32'] as const).map((dtype, index) =>
    decodedBody(tensorsOf(randomSamples(SIZE, 3 + index, 4), dtype)),
  );
  const parts = bodies.flatMap((body) => [wholePart(body), partOf(body, 1, 2)]);
  const arrived = unpackParts(structuredClone(packParts(parts, LAYOUTS)), LAYOUTS);
  assert.equal(arrived.length, parts.length);
  for (const [index, part] of arrived.entries()) {
    const sent = parts[index];
    assert.ok(sent);
    assert.deepEqual([part.first, part.samples], [sent.first, sent.samples]);
    assert.equal(part.tokens, sent.tensors.get('token_mask')?.shape[1]);
    for (const [place, { dtype, byteOffset, byteLength }] of part.tensors.entries()) {
      const tensor = sent.tensors.get(LAYOUTS[place]?.input.name ?? '');
      assert.deepEqual(
        { dtype, byteOffset, byteLength },
        { dtype: tensor?.dtype, byteOffset: tensor?.byteOffset, byteLength: tensor?.byteLength },
      );
    }
  }
});

test('a part that no graph could take does not leave', () => {
  const tensors = tensorsOf(randomSamples(SIZE, 3, 2));
  const [more, mistyped]: ManifestInput[] = [
    { name: 'ids', dtype: 'I64', shape: ['batch'] },
    { name: 'timestep', dtype: 'F32', shape: ['batch', 2] },
  ];
  const part = wholePart(decodedBody(tensors));
  assert.ok(more && mistyped);
  assert.throws(() => packParts([part], [...LAYOUTS, layoutOf(more)]), /no tensor ids/);
  assert.throws(() => packParts([part], [layoutOf(mistyped)]), /timestep is not of the probe's shape/);
  const bool = decodedBody({ ...tensors, ids: { dtype: 'BOOL', shape: [2], data: Uint8Array.of(0, 1) } });
  assert.throws(() => packParts([wholePart(bool)], [layoutOf(more)]), /no graph takes BOOL/);
});
