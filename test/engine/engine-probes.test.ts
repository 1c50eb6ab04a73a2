/** Only sound probes serve, a broken one is refused with its reason, and references resolve to the right probe. */
import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import type { ProbeStatus } from '../../src/engine/types.js';
import { StartError } from '../../src/errors.js';
import { encodeSafetensors } from '../../clients/typescript/src/safetensors.js';
import { SILENT_LOG, startEngine } from '../support/engine.js';
import { NAN_TIMESTEP, tinyInputs, tinyOnnx } from '../support/onnx.js';
import { type ProbeFolderOptions, TINY_SIZE, writeProbe } from '../support/probe-folder.js';
import { decodedBody, expectedScore, randomSamples, scoreBody, tensorsOf } from '../support/samples.js';
import { temporaryFolder } from '../support/temporary-folder.js';

function statesOf(probes: readonly ProbeStatus[]): string[] {
  return probes.map(({ name, version, state }) => `${name}@${version} ${state}`);
}

test('the newest version serves, older ones answer by name@version', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { version: 2, bias: 2 });
  await writeProbe(models, { version: 10, bias: 10 });
  await writeProbe(models, { name: 'another' });
  const { engine, heard } = await startEngine(t, models, { defaultModel: 'tiny' });
  assert.deepEqual(statesOf(engine.probes()), ['another@1 serving', 'tiny@10 serving', 'tiny@2 available']);
  assert.deepEqual(heard.loaded.toSorted(), ['another@1', 'tiny@10', 'tiny@2']);
  const samples = randomSamples(TINY_SIZE, 2, 1);
  for (const [reference, bias] of [
    ['tiny', 10],
    ['tiny@10', 10],
    ['tiny@2', 2],
    ['another', 0],
    [undefined, 10],
  ] as const) {
    const probe = engine.resolve(reference);
    const { scores } = await engine.score(probe, decodedBody(tensorsOf(samples)));
    const [sample] = samples;
    assert.ok(sample && Math.abs((scores[0] ?? NaN) - expectedScore(sample, bias)) < 1e-5, `${reference}`);
  }
});

test('the status of a probe holds its fields', async (t) => {
  const models = await temporaryFolder(t);
  const { manifest } = await writeProbe(models);
  const { engine } = await startEngine(t, models);
  const [{ probe, ...status } = assert.fail()] = engine.probes();
  assert.deepEqual(status, { name: 'tiny', version: 1, state: 'serving' });
  assert.deepEqual(
    [probe?.provider, probe?.fallback, probe?.sha256, probe?.manifest],
    ['cpu', undefined, manifest.files['model.onnx'], manifest],
  );
  assert.deepEqual([probe?.plan.bestSamples, probe?.plan.maxPaddedTokens], [8, undefined]);
});

test('an unknown reference is rejected with the names of the probes', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  await writeProbe(models, {
    version: 2,
    edit: (manifest) => (manifest.files['model.onnx'] = '0'.repeat(64)),
  });
  const { engine } = await startEngine(t, models);
  for (const reference of ['huge', 'tiny@3', 'tiny@', '', 'tiny@1@1', 'tiny@01']) {
    assert.throws(() => engine.resolve(reference), {
      code: 'model_not_found',
      status: 404,
      field: 'model',
      received: reference,
      expected: ['tiny'],
    });
  }
  assert.throws(() => engine.resolve('tiny@2'), {
    detail: 'There is no probe "tiny@2": version 2 was refused.',
  });
});

test('without a default, no reference means the only probe, and is rejected when there are several', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine: one } = await startEngine(t, models);
  assert.equal(one.resolve(undefined).name, 'tiny');
  const edit = (manifest: { backbone: string }): void => {
    manifest.backbone = 'another';
  };
  await writeProbe(models, { name: 'another', edit });
  const { engine: two } = await startEngine(t, models);
  assert.throws(() => two.resolve(undefined), { code: 'model_not_found', expected: ['another', 'tiny'] });
  assert.deepEqual(two.readiness(), { ready: true });
});

test('a probe is served without its trajectories, which only planning reads', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, {
    edit: (manifest) => {
      manifest.trajectories = 'trajectories.npz';
      manifest.files['trajectories.npz'] = '0'.repeat(64);
    },
  });
  const { engine } = await startEngine(t, models);
  assert.deepEqual(engine.readiness(), { ready: true });
});

const inputs = tinyInputs(TINY_SIZE.layers, TINY_SIZE.height, TINY_SIZE.width);
const samples = randomSamples(TINY_SIZE, 3, 2);
const BROKEN: readonly [string, ProbeFolderOptions, RegExp][] = [
  [
    'a manifest that is not valid',
    { edit: (m) => (m.capture_id = '0'.repeat(16)) },
    /^probe\.json is not valid: capture_id/,
  ],
  [
    'a name that is not the folder’s',
    { edit: (m) => (m.name = 'other') },
    /^probe\.json says other version 2, but its folder is tiny\/2$/,
  ],
  [
    'a hash that is not the file’s',
    { edit: (m) => (m.files['model.onnx'] = '0'.repeat(64)) },
    /^model\.onnx has the SHA-256 [0-9a-f]{64}, but probe\.json says 0{64}$/,
  ],
  [
    'a file that is not there',
    { edit: (m) => (m.files['plot.png'] = '0'.repeat(64)) },
    /^plot\.png cannot be read: ENOENT/,
  ],
  ['a file that is no graph', { model: new Uint8Array(100).fill(7) }, /^model\.onnx cannot be loaded: /],
  ['an empty graph', { model: new Uint8Array() }, /^model\.onnx cannot be loaded: /],
  [
    'a graph for other layers',
    { model: tinyOnnx({ inputs: tinyInputs(9, 4, 4) }) },
    /^model\.onnx is not as probe\.json says: .*"attention" has the shape \[batch, 9, tokens, 4, 4\], not \[batch, 2, tokens, 4, 4\]/,
  ],
  [
    'a graph of another dtype',
    { model: tinyOnnx({ inputs: tinyInputs(2, 4, 4, 'F32') }) },
    /input "attention" is float32, not float16/,
  ],
  [
    'an input that is not declared',
    { model: tinyOnnx({ inputs: [...inputs, { name: 'extra', dtype: 'F32', shape: ['batch'] }] }) },
    /needs an input "extra" that probe\.json does not declare/,
  ],
  [
    'an output of another name',
    { edit: (m) => (m.output.name = 'quality') },
    /the graph has no output "quality"/,
  ],
  ['a selftest that does not decode', { selftest: new Uint8Array(4) }, /^selftest\.safetensors: /],
  [
    'a selftest without a tensor',
    { selftest: encodeSafetensors({}) },
    /^selftest\.safetensors: The tensor "attention" is missing/,
  ],
  [
    'a selftest with too few samples',
    { selftest: scoreBody(samples.slice(1)) },
    /^selftest\.safetensors: it holds fewer samples than selftest\.scores, 2$/,
  ],
  [
    'a selftest with other scores',
    { edit: (m) => (m.selftest.scores = [0, 0]) },
    /^selftest: sample 0 scored 0\.\d+, not 0 ± 0\.001$/,
  ],
  [
    'a selftest with a bad value',
    {
      selftest: scoreBody(samples.map((sample) => ({ ...sample, attention: sample.attention.map(() => 2) }))),
    },
    /^selftest: The attention of sample 0, layer 0, token 0 is 2/,
  ],
  [
    'a score that is no number',
    { selftest: scoreBody(samples.map((sample) => ({ ...sample, timestep: NAN_TIMESTEP }))) },
    /^selftest: The probe’s score of sample 0 is NaN/,
  ],
];

for (const [name, options, reason] of BROKEN) {
  test(`refused with its reason, while the version before it serves: ${name}`, async (t) => {
    const models = await temporaryFolder(t);
    await writeProbe(models, { version: 1 });
    await writeProbe(models, { ...options, version: 2 });
    const { engine, heard } = await startEngine(t, models);
    assert.deepEqual(statesOf(engine.probes()), ['tiny@2 refused', 'tiny@1 serving']);
    assert.match(engine.probes()[0]?.reason ?? '', reason);
    assert.deepEqual(heard.refused, ['tiny@2']);
    assert.deepEqual(engine.readiness(), { ready: true });
    const { scores } = await engine.score(engine.resolve('tiny'), decodedBody(tensorsOf(samples)));
    assert.equal(scores.length, 2);
  });
}

test('other files and folders in the models’ folder are ignored', async (t) => {
  const models = await temporaryFolder(t);
  const { folder } = await writeProbe(models);
  await writeFile(path.join(models, 'probe.schema.json'), '{}');
  await mkdir(path.join(models, '.git', '1'), { recursive: true });
  await mkdir(path.join(models, 'tiny', '2.partial'));
  await mkdir(path.join(models, 'tiny', '03'));
  await rm(path.join(folder, '..', 'absent'), { force: true });
  const { engine } = await startEngine(t, models);
  assert.deepEqual(statesOf(engine.probes()), ['tiny@1 serving']);
});

test('a version without probe.json is refused', async (t) => {
  const models = await temporaryFolder(t);
  await mkdir(path.join(models, 'tiny', '1'), { recursive: true });
  const { engine } = await startEngine(t, models);
  assert.match(engine.probes()[0]?.reason ?? '', /^probe\.json cannot be read: ENOENT/);
  assert.deepEqual(engine.readiness(), { ready: false, reason: 'every probe was refused' });
});

test('the start reports its progress', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  await writeProbe(models, {
    version: 2,
    edit: (manifest) => (manifest.files['model.onnx'] = '0'.repeat(64)),
  });
  const progress: string[] = [];
  const onStartProgress = (done: number, total: number): void => void progress.push(`${done} of ${total}`);
  const { engine } = await startEngine(t, models, { onStartProgress });
  await engine.reload();
  assert.deepEqual(progress, ['0 of 2', '1 of 2', '2 of 2'], 'a refused probe counts, a reload does not');
});

test('readiness reports a missing probe and a missing default', async (t) => {
  const models = await temporaryFolder(t);
  const { engine: empty } = await startEngine(t, models);
  assert.deepEqual(empty.readiness(), { ready: false, reason: 'no probe was found' });
  await writeProbe(models);
  const { engine } = await startEngine(t, models, { defaultModel: 'huge' });
  assert.deepEqual(engine.readiness(), { ready: false, reason: 'the default probe "huge" is not loaded' });
});

test('a models’ folder that cannot be read stops the start', async (t) => {
  const models = await temporaryFolder(t);
  await assert.rejects(startEngine(t, path.join(models, 'nowhere')), (error) => {
    assert.ok(error instanceof StartError);
    assert.match(error.message, /nowhere cannot be read: there is no such folder; .* --models-dir$/);
    return true;
  });
});

test('without CUDA, auto falls back and says why, and cuda by name fails to start', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const lines: { fallback?: string }[] = [];
  const log = { ...SILENT_LOG, info: (fields: object) => lines.push(fields) };
  const { engine } = await startEngine(t, models, { device: 'auto', log });
  const { provider, fallback } = engine.resolve('tiny');
  if (provider === 'cuda') return t.skip('CUDA works here');
  assert.match(fallback ?? '', /CUDA/);
  assert.ok(lines.some((line) => line.fallback === fallback));
  for (const device of ['cuda', 'cuda:1'] as const) {
    await assert.rejects(startEngine(t, models, { device }), new RegExp(`device ${device} cannot be used: `));
  }
});

test('by default the engine has one worker per core, with one thread each', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const logged: object[] = [];
  const log = { ...SILENT_LOG, info: (fields: object) => logged.push(fields) };
  await startEngine(t, models, { workers: undefined, intraOpThreads: undefined, log });
  assert.deepEqual(logged.at(-1), { workers: availableParallelism(), intraOpThreads: 1, provider: 'cpu' });
});
