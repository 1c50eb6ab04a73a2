/** Known pitfalls of ONNX Runtime that the code avoids; each of them would cost images or the whole process. */
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

import { assembleBatch } from '../../../src/engine/worker/batch-assembly.js';
import { BatchMemory } from '../../../src/engine/worker/batch-memory.js';
import { layoutOf } from '../../../src/engine/worker/input-layout.js';
import { checkSlice } from '../../../src/engine/worker/check-slice.js';
import { openSession } from '../../../src/engine/worker/session.js';
import { sliceOf } from '../../../src/engine/worker/sample-slice.js';
import type { Manifest } from '../../../src/probe/manifest.js';
import { sharedCopy } from '../../../src/wire/body-memory.js';
import { tinyInputs, tinyOnnx } from '../../support/onnx.js';
import { decodedBody, randomSamples, tensorsOf } from '../../support/samples.js';

const OUTPUT: Manifest['output'] = { name: 'score', dtype: 'F32', shape: ['batch'] };

async function sourcesThatHold(pattern: RegExp): Promise<string[]> {
  const files = (await readdir('src', { recursive: true })).filter((file) => file.endsWith('.ts'));
  const holding = await Promise.all(
    files.map(async (file) => pattern.test(await readFile(path.join('src', file), 'utf8'))),
  );
  return files.filter((_, index) => holding[index]);
}

test('only the worker imports it, because runs block their thread', async () => {
  const importers = await sourcesThatHold(/from 'onnxruntime-node'/);
  assert.deepEqual(importers, [path.join('engine', 'worker', 'session.ts')]);
  assert.deepEqual(await sourcesThatHold(/^import \{[^}]*openSession\b[^}]*\}/m), [
    path.join('engine', 'worker', 'worker.ts'),
  ]);
});

test('the service does not reach the reference world, whose runs block', async () => {
  const importers = await sourcesThatHold(/from '(?:\.\.?\/)+(?:reference|demo|study)\//);
  assert.deepEqual(
    importers.filter((file) => !/^(?:reference|demo|study)\b/.test(file)),
    [],
  );
});

test('no thread is terminated, because that aborts the process during a run', async () => {
  assert.deepEqual(await sourcesThatHold(/\.terminate\(/), []);
});

test('a body in shared memory is copied into its batch, because not every Node takes such memory as input', () => {
  const layouts = tinyInputs(1, 1, 2).map(layoutOf);
  const body = decodedBody(tensorsOf(randomSamples({ layers: 1, height: 1, width: 2 }, 3, 1)));
  const shared = { ...body, bytes: sharedCopy(new Uint8Array(body.bytes)) };
  const slice = structuredClone(sliceOf(shared));
  assert.ok(slice.bytes instanceof SharedArrayBuffer);
  const checked = checkSlice(slice, layouts, false);
  assert.ok('values' in checked);
  for (const { data } of Object.values(assembleBatch([checked], layouts, new BatchMemory())))
    assert.ok(!(data.buffer instanceof SharedArrayBuffer));
});

test('float16 reaches the graph on this Node', async (t) => {
  const inputs = tinyInputs(1, 1, 2);
  const graph = { model: tinyOnnx({ inputs }), inputs, output: OUTPUT };
  const session = await openSession(graph, { device: 'cpu', intraOpThreads: 1 });
  t.after(() => session.release());
  const scores = await session.run({
    attention: {
      type: 'float16',
      dims: [1, 1, 1, 1, 2],
      data: Uint16Array.of(0x3800, 0x3c00),
      location: 'cpu',
    },
    token_mask: { type: 'uint8', dims: [1, 1], data: Uint8Array.of(1), location: 'cpu' },
    timestep: { type: 'float32', dims: [1], data: Float32Array.of(0), location: 'cpu' },
  });
  assert.deepEqual([...scores], [0.75]);
});
