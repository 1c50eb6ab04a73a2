/** Tests that changes of the model repository are applied while the engine runs, and that no request is lost. */
import assert from 'node:assert/strict';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import type { Engine } from '../../../src/engine/types.js';
import type { DecodedBody } from '../../../src/wire/tensor.js';
import { startProver } from '../../../src/engine/engine.js';
import { SILENT_LOG, startEngine } from '../../support/engine.js';
import { TINY_SIZE, writeProbe } from '../../support/probe-folder.js';
import { decodedBody, expectedScore, randomSamples, scoreBody, tensorsOf } from '../../support/samples.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const samples = randomSamples(TINY_SIZE, 3, 1);
const POLL_MS = 20;

function body(): DecodedBody {
  return decodedBody(tensorsOf(samples));
}

/** The bias that the probe for a reference adds to every score. */
async function biasOf(engine: Engine, reference?: string): Promise<number> {
  const { scores } = await engine.score(engine.resolve(reference), body());
  return Math.round((scores[0] ?? NaN) - expectedScore(samples[0] ?? assert.fail()));
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(5);
}

function states(engine: Engine): string[] {
  return engine.probes().map(({ name, version, state }) => `${name}@${version} ${state}`);
}

test('a new version serves, the one before it stays available, and serves again when the new one is deleted', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { version: 1, bias: 1 });
  const { engine, heard } = await startEngine(t, models, { workers: 2 });
  const { folder } = await writeProbe(models, { version: 2, bias: 2 });
  assert.deepEqual(await engine.reload(), [{ name: 'tiny', version: 2, change: 'loaded' }]);
  assert.deepEqual(states(engine), ['tiny@2 serving', 'tiny@1 available']);
  assert.deepEqual([await biasOf(engine), await biasOf(engine, 'tiny@1')], [2, 1]);
  await rm(folder, { recursive: true });
  assert.deepEqual(await engine.reload(), [{ name: 'tiny', version: 2, change: 'unloaded' }]);
  assert.deepEqual(states(engine), ['tiny@1 serving']);
  assert.equal(await biasOf(engine), 1);
  assert.throws(() => engine.resolve('tiny@2'), { code: 'model_not_found' });
  assert.deepEqual([heard.loaded, heard.unloaded], [['tiny@1', 'tiny@2'], ['tiny@2']]);
  assert.deepEqual(await engine.reload(), []);
});

test('requests of the old version are answered by it while the new one is loaded', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { bias: 1, work: 50 });
  const { engine, heard } = await startEngine(t, models, { maxBatchSamples: 1, maxQueueSamples: 10_000 });
  await writeProbe(models, { bias: 2 });
  const state = { isReloading: true };
  const reloaded = engine.reload().finally(() => {
    state.isReloading = false;
  });
  const answers: Promise<number>[] = [];
  while (state.isReloading) {
    answers.push(biasOf(engine));
    await pause(2);
  }
  answers.push(biasOf(engine));
  assert.deepEqual(await reloaded, [{ name: 'tiny', version: 1, change: 'replaced' }]);
  const biases = await Promise.all(answers);
  assert.deepEqual(
    biases,
    biases.toSorted((left, right) => left - right),
    'all requests after the switch get the new one',
  );
  assert.deepEqual([biases[0], biases.at(-1)], [1, 2]);
  assert.deepEqual([heard.loaded, heard.unloaded], [['tiny@1', 'tiny@1'], ['tiny@1']]);
});

test('a request for a probe that has been replaced since it was resolved is unready', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { bias: 1 });
  const { engine } = await startEngine(t, models);
  const before = engine.resolve('tiny');
  await writeProbe(models, { bias: 2 });
  await engine.reload();
  await assert.rejects(engine.score(before, body()), { code: 'unready' });
});

test('a broken probe is refused with its reason while the one before it serves; once repaired, it is loaded', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { bias: 1 });
  const { engine, heard } = await startEngine(t, models);
  const { folder } = await writeProbe(models, {
    bias: 2,
    edit: (manifest) => (manifest.selftest.scores = [0, 0]),
  });
  const [change] = await engine.reload();
  assert.equal(change?.change, 'refused');
  const [status] = engine.probes();
  assert.equal(status?.state, 'serving');
  assert.match(status.reason ?? '', /^selftest: sample 0 scored/);
  assert.equal(await biasOf(engine), 1);
  assert.deepEqual(heard.unloaded, []);

  await writeFile(path.join(folder, 'probe.json'), '{');
  await engine.reload();
  assert.match(engine.probes()[0]?.reason ?? '', /^probe\.json/);
  assert.equal(await biasOf(engine), 1);

  await writeProbe(models, { bias: 3 });
  await engine.reload();
  assert.equal(engine.probes()[0]?.reason, undefined);
  assert.equal(await biasOf(engine), 3);
});

test('a probe whose old content is restored is not loaded again, and its refusal is cleared', async (t) => {
  const models = await temporaryFolder(t);
  const { folder } = await writeProbe(models, { bias: 1 });
  const { engine, heard } = await startEngine(t, models);
  await rename(path.join(folder, 'probe.json'), path.join(folder, 'kept.json'));
  await engine.reload();
  assert.match(engine.probes()[0]?.reason ?? '', /^probe\.json cannot be read/);
  await rename(path.join(folder, 'kept.json'), path.join(folder, 'probe.json'));
  assert.deepEqual(await engine.reload(), []);
  assert.equal(engine.probes()[0]?.reason, undefined);
  assert.deepEqual(heard.loaded, ['tiny@1']);
});

test('polling finds changes, and a folder that was refused half-written is loaded once complete', async (t) => {
  const models = await temporaryFolder(t);
  const { folder: finished } = await writeProbe(await temporaryFolder(t), { version: 2, bias: 2 });
  await writeProbe(models, { version: 1, bias: 1 });
  const { engine } = await startEngine(t, models, { modelsPollMs: POLL_MS });
  const half = path.join(models, 'tiny', '2');
  await mkdir(half);
  await rename(path.join(finished, 'probe.json'), path.join(half, 'probe.json'));
  await until(() => states(engine).includes('tiny@2 refused'));
  assert.equal(await biasOf(engine), 1);
  for (const file of ['model.onnx', 'selftest.safetensors']) {
    await rename(path.join(finished, file), path.join(half, file));
  }
  await until(() => states(engine)[0] === 'tiny@2 serving');
  assert.equal(await biasOf(engine), 2);
  await rm(half, { recursive: true });
  await until(() => states(engine).length === 1);
  assert.equal(await biasOf(engine), 1);
});

test('a repository that cannot be read for a while changes nothing, and is logged once', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { bias: 1 });
  const errors: string[] = [];
  const log = { ...SILENT_LOG, error: (_fields: object, message: string) => errors.push(message) };
  const { engine } = await startEngine(t, models, { modelsPollMs: POLL_MS, log });
  await rename(models, `${models}.away`);
  t.after(() => rm(`${models}.away`, { recursive: true, force: true }));
  await until(() => errors.length > 0);
  await pause(5 * POLL_MS);
  assert.deepEqual(errors, ['the model repository cannot be read']);
  await assert.rejects(engine.reload(), { code: 'unready', detail: /cannot be read/ });
  assert.equal(await biasOf(engine), 1);
  await rename(`${models}.away`, models);
  await writeProbe(models, { version: 2, bias: 2 });
  await until(() => states(engine)[0] === 'tiny@2 serving');
});

function backboneCalled(name: string): (manifest: { backbone: string }) => void {
  return (manifest) => {
    manifest.backbone = name;
  };
}

test('a probe is the default as long as it is the only one', async (t) => {
  const models = await temporaryFolder(t);
  const { engine } = await startEngine(t, models);
  assert.deepEqual(engine.readiness(), { ready: false, reason: 'no probe was found' });
  await writeProbe(models, { bias: 1 });
  await engine.reload();
  assert.deepEqual(engine.readiness(), { ready: true });
  assert.equal(await biasOf(engine), 1);
  await writeProbe(models, { name: 'another', bias: 2, edit: backboneCalled('another') });
  await engine.reload();
  assert.throws(() => engine.resolve(undefined), { code: 'model_not_found' });
  assert.deepEqual([await biasOf(engine, 'tiny'), await biasOf(engine, 'another')], [1, 2]);
});

test('of several probes, the one with the name of its backbone is the default', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { name: 'sdxl', bias: 1, edit: backboneCalled('sdxl') });
  await writeProbe(models, { name: 'sdxl-preview', bias: 2, edit: backboneCalled('sdxl') });
  const { engine } = await startEngine(t, models);
  assert.equal(engine.resolve(undefined).name, 'sdxl');
  await writeProbe(models, { name: 'flux', bias: 3, edit: backboneCalled('flux') });
  await engine.reload();
  assert.throws(() => engine.resolve(undefined), { code: 'model_not_found' });
});

test('reloads at the same time share one scan, and close waits for it', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { bias: 1 });
  const { engine, heard } = await startEngine(t, models);
  await writeProbe(models, { bias: 2 });
  const reports = await Promise.all([engine.reload(), engine.reload(), engine.reload()]);
  assert.deepEqual(reports[0], [{ name: 'tiny', version: 1, change: 'replaced' }]);
  assert.equal(heard.loaded.length, 2);
  await writeProbe(models, { bias: 3 });
  const last = engine.reload();
  await engine.close();
  await last;
  await assert.rejects(engine.reload(), { code: 'unready' });
});

test('an engine that closes while a probe is tested ends the test, and refuses nothing', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { bias: 1 });
  const { engine, heard } = await startEngine(t, models, {}, startProver);
  const late = randomSamples(TINY_SIZE, 3, 2).map((sample) => ({ ...sample, timestep: 2000 }));
  const endless = { hang: { above: 1000, turns: 2 ** 52 }, selftest: scoreBody(late) };
  for (const version of [2, 3]) await writeProbe(models, { version, ...endless });
  const changes = engine.reload();
  await pause(500);
  await engine.close();
  assert.deepEqual(await changes, []);
  assert.deepEqual(heard.refused, []);
});

test('a version whose first run hangs is refused, and costs no worker', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { bias: 1 });
  const hangs: string[] = [];
  const options = {
    inferenceTimeoutMs: 1000,
    warmUpTimeoutMs: 1000,
    onHang: (reason: string): void => void hangs.push(reason),
  };
  const { engine } = await startEngine(t, models, options, startProver);
  const late = randomSamples(TINY_SIZE, 3, 2).map((sample) => ({ ...sample, timestep: 2000 }));
  await writeProbe(models, {
    version: 2,
    hang: { above: 1000, turns: 2 ** 52 },
    selftest: scoreBody(late),
  });
  const reason = 'selftest: a run has taken longer than 1000 ms';
  assert.deepEqual(await engine.reload(), [{ name: 'tiny', version: 2, change: 'refused', reason }]);
  assert.deepEqual([hangs, engine.readiness()], [[], { ready: true }]);
  assert.equal(await biasOf(engine), 1);
});

test('a folder that cannot be read hides no other, at the start, on reload and in polls, and keeps its versions', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { bias: 1 });
  await symlink('loop', path.join(models, 'loop'));
  await symlink('nothing', path.join(models, 'dangling'));
  await symlink('3', path.join(models, 'tiny', '3'));
  const errors: object[] = [];
  const log = {
    ...SILENT_LOG,
    error: (fields: object, message: string) => {
      if (message.startsWith('a folder')) errors.push(fields);
    },
  };
  const { engine } = await startEngine(t, models, { modelsPollMs: POLL_MS, log });
  assert.equal(errors.length, 1, 'at the start');
  assert.equal(await biasOf(engine), 1);

  await writeProbe(models, { name: 'another', bias: 2 });
  await rename(path.join(models, 'tiny'), path.join(models, '.tiny'));
  await symlink('tiny', path.join(models, 'tiny'));
  await engine.reload();
  assert.deepEqual(states(engine), ['another@1 serving', 'tiny@3 refused', 'tiny@1 serving']);
  await pause(5 * POLL_MS);
  assert.equal(await biasOf(engine, 'tiny'), 1);
  assert.deepEqual(
    errors.map((fields) => ('folder' in fields ? path.basename(String(fields.folder)) : '')),
    ['loop', 'tiny'],
    'each is logged once',
  );

  await rm(path.join(models, 'tiny'));
  await until(() => states(engine).length === 1);
  assert.deepEqual(states(engine), ['another@1 serving']);
});
