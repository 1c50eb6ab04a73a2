/** Tests scores through real workers and sessions: they are right, no matter what else is in the batch. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Manifest } from '../../src/probe/manifest.js';
import { encodeSafetensors } from '../../clients/typescript/src/safetensors.js';
import { startEngine } from '../support/engine.js';
import { NAN_TIMESTEP } from '../support/onnx.js';
import { TINY_SIZE, writeProbe } from '../support/probe-folder.js';
import {
  type TestSample,
  decodedBody,
  expectedScore,
  padded,
  randomSamples,
  tensorsOf,
} from '../support/samples.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const TOLERANCE = 1e-5;

function assertScores(scores: Float32Array, samples: readonly TestSample[], bias = 0): void {
  assert.equal(scores.length, samples.length);
  for (const [index, sample] of samples.entries()) {
    const expected = expectedScore(sample, bias);
    assert.ok(
      Math.abs((scores[index] ?? NaN) - expected) < TOLERANCE,
      `sample ${index}: ${scores[index]} ${expected}`,
    );
  }
}

test('each sample gets its own score, in order', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine } = await startEngine(t, models);
  const samples = randomSamples(TINY_SIZE, 4, 5, 11);
  const result = await engine.score(engine.resolve('tiny'), decodedBody(tensorsOf(samples)));
  assertScores(result.scores, samples);
  assert.equal(result.batchSamples, 5);
  assert.ok(result.queueMs >= 0 && result.inferenceMs > 0);
});

test('F16, BF16 and F32 attention give the same scores', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine } = await startEngine(t, models);
  const samples = randomSamples(TINY_SIZE, 4, 3);
  for (const dtype of ['F16', 'BF16', 'F32'] as const) {
    const { scores } = await engine.score(engine.resolve('tiny'), decodedBody(tensorsOf(samples, dtype)));
    assertScores(scores, samples);
  }
});

test('a graph that takes float32 attention scores every dtype alike', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { attentionDtype: 'F32' });
  const { engine } = await startEngine(t, models);
  const samples = randomSamples(TINY_SIZE, 4, 3);
  for (const dtype of ['F16', 'BF16', 'F32'] as const) {
    const { scores } = await engine.score(engine.resolve('tiny'), decodedBody(tensorsOf(samples, dtype)));
    assertScores(scores, samples);
  }
});

test('a score does not depend on the batch, on padding, or on the values of masked tokens', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { work: 40 });
  const { engine, heard } = await startEngine(t, models);
  const probe = engine.resolve('tiny');
  const groups = [3, 7, 1, 5].map((tokens) => randomSamples(TINY_SIZE, tokens, 2, tokens));
  const blocker = engine.score(probe, decodedBody(tensorsOf(randomSamples(TINY_SIZE, 2, 1))));
  const results = await Promise.all(
    groups.map((samples, index) => {
      const sent = samples.map((sample) => padded(sample, index * 2, NaN));
      return engine.score(probe, decodedBody(tensorsOf(sent)));
    }),
  );
  await blocker;
  assert.deepEqual(
    heard.batches.slice(-1).map((batch) => batch.samples),
    [8],
  );
  for (const [index, { scores }] of results.entries()) assertScores(scores, groups[index] ?? []);
});

test('a masked token between real ones is ignored', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine } = await startEngine(t, models);
  const [sample] = randomSamples(TINY_SIZE, 4, 1);
  assert.ok(sample);
  const holed = { ...sample, mask: Uint8Array.of(1, 0, 0, 1) };
  const { scores } = await engine.score(engine.resolve('tiny'), decodedBody(tensorsOf([holed, holed])));
  assertScores(scores, [holed, holed]);
});

test('tensors at unaligned offsets are read correctly', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine } = await startEngine(t, models);
  const samples = randomSamples(TINY_SIZE, 3, 3);
  const aligned = decodedBody(tensorsOf(samples));
  const bytes = new ArrayBuffer(aligned.bytes.byteLength + 1);
  new Uint8Array(bytes).set(new Uint8Array(aligned.bytes), 1);
  const tensors = new Map(
    [...aligned.tensors].map(([name, slice]) => [name, { ...slice, byteOffset: slice.byteOffset + 1 }]),
  );
  const { scores } = await engine.score(engine.resolve('tiny'), { ...aligned, bytes, tensors });
  assertScores(scores, samples);
});

test('the scores of a request that is split are joined again', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine, heard } = await startEngine(t, models, { maxBatchSamples: 4, workers: 2 });
  const samples = randomSamples(TINY_SIZE, 3, 11);
  const { scores, batchSamples } = await engine.score(
    engine.resolve('tiny'),
    decodedBody(tensorsOf(samples)),
  );
  assertScores(scores, samples);
  assert.equal(batchSamples, 4);
  assert.deepEqual(
    heard.batches.map((batch) => batch.samples).toSorted((a, b) => a - b),
    [3, 4, 4],
  );
});

test('further inputs that a probe declares reach its graph', async (t) => {
  const models = await temporaryFolder(t);
  const extraInputs: Manifest['inputs'] = [
    { name: 'preview', dtype: 'F16', shape: ['batch', 3, 2, 2] },
    { name: 'token_ids', dtype: 'I64', shape: ['batch', 'tokens'] },
  ];
  const samples = randomSamples(TINY_SIZE, 3, 2);
  const tensors = {
    ...tensorsOf(samples),
    preview: { dtype: 'F32', shape: [2, 3, 2, 2], data: new Float32Array(24).fill(2) },
    token_ids: { dtype: 'I64', shape: [2, 3], data: BigInt64Array.of(1n, 2n, 3n, 4n, 5n, 6n) },
  } as const;
  const offsets = [0.024 + 0.006, 0.024 + 0.015];
  await writeProbe(models, {
    extraInputs,
    selftest: encodeSafetensors(tensors),
    edit: (manifest) => {
      manifest.selftest.scores = samples.map(
        (sample, index) => expectedScore(sample) + (offsets[index] ?? 0),
      );
    },
  });
  const { engine } = await startEngine(t, models);
  const { scores } = await engine.score(engine.resolve('tiny'), decodedBody(tensors));
  for (const [index, sample] of samples.entries())
    assertScores(scores.slice(index, index + 1), [sample], offsets[index]);
});

test('a bad value fails its request and no other of the batch', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { work: 40 });
  const { engine, heard } = await startEngine(t, models);
  const probe = engine.resolve('tiny');
  const good = randomSamples(TINY_SIZE, 3, 2);
  const [first, second] = randomSamples(TINY_SIZE, 3, 2, 5);
  assert.ok(first && second);
  const attention = second.attention.slice();
  // Layer 1 of 2, token 2 of 3, row 1, column 2 of 4 by 4.
  attention[(1 * 3 + 2) * 16 + 6] = 1.5;
  const blocker = engine.score(probe, decodedBody(tensorsOf(good)));
  const bad = engine.score(probe, decodedBody(tensorsOf([first, { ...second, attention }])));
  const mate = engine.score(probe, decodedBody(tensorsOf(good)));
  await assert.rejects(bad, {
    code: 'attention_out_of_range',
    field: 'attention',
    received: 1.5,
    detail: 'The attention of sample 1, layer 1, token 2 is 1.5 at row 1, column 2.',
  });
  assertScores((await mate).scores, good);
  await blocker;
  assert.deepEqual(
    heard.batches.map((batch) => batch.samples),
    [2, 4],
  );
});

test('a fault in a later slice of a split request names the sample by its index in the request', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine } = await startEngine(t, models, { maxBatchSamples: 2 });
  const samples = randomSamples(TINY_SIZE, 3, 7);
  samples[4]?.attention.fill(NaN, 0, 1);
  await assert.rejects(engine.score(engine.resolve('tiny'), decodedBody(tensorsOf(samples))), {
    code: 'attention_not_finite',
    received: 'NaN',
    detail: /^The attention of sample 4, layer 0, token 0 is NaN/,
  });
  assert.deepEqual(engine.queueDepth(), { samples: 0, bytes: 0 });
});

test('a score that is not finite is a failure of the probe', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine } = await startEngine(t, models);
  const [sample] = randomSamples(TINY_SIZE, 3, 1);
  assert.ok(sample);
  const broken = engine.score(
    engine.resolve('tiny'),
    decodedBody(tensorsOf([{ ...sample, timestep: NAN_TIMESTEP }])),
  );
  await assert.rejects(broken, { code: 'internal', status: 500, detail: /score of sample 0 is NaN/ });
});
