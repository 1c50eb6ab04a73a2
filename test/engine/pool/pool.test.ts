/** A probe is loaded into every thread, earlier and later ones, and threads are replaced. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { WorkerPool, type WorkerPoolOptions } from '../../../src/engine/pool/pool.js';
import type { BatchPlan } from '../../../src/engine/warm-up/batch-plan.js';
import { CostModel } from '../../../src/engine/warm-up/cost-model.js';
import type { MeasuredProbe } from '../../../src/engine/warm-up/warm-up.js';
import { readProbeFolder } from '../../../src/probe/folder.js';
import { ProbeRefusedError } from '../../../src/probe/folder.js';
import { sliceOf } from '../../../src/engine/worker/sample-slice.js';
import type { WorkerSlot } from '../../../src/engine/pool/worker-slot.js';
import type { RunResult } from '../../../src/engine/worker/worker-thread.js';
import { RunningClock } from '../../../src/running-clock.js';
import { SILENT_LOG } from '../../support/engine.js';
import {
  type ProbeFolderOptions,
  TINY_SIZE,
  temporaryModels,
  writeProbe,
} from '../../support/probe-folder.js';
import { decodedBody, randomSamples, tensorsOf } from '../../support/samples.js';

async function poolOf(
  t: TestContext,
  threads: number,
  options: Partial<WorkerPoolOptions> = {},
): Promise<WorkerPool> {
  const pool = new WorkerPool({
    workerUrl: new URL('../../../src/engine/worker/worker.js', import.meta.url),
    settings: { device: 'cpu', intraOpThreads: 1 },
    clock: new RunningClock(),
    log: SILENT_LOG,
    onIdle: () => {},
    onDown: () => {},
    onRestart: () => {},
    onHang: () => {},
    ...options,
  });
  t.after(() => pool.close());
  await pool.grow(threads);
  return pool;
}

const PLAN: BatchPlan = {
  bestSamples: 2,
  maxSamples: 2,
  maxTokens: Infinity,
  cost: new CostModel(1, 0),
  measurements: [],
};

async function probeOf(
  t: TestContext,
  key: number,
  options: ProbeFolderOptions = {},
): Promise<MeasuredProbe> {
  const { folder } = await writeProbe(await temporaryModels(t), options);
  return { key, files: await readProbeFolder({ folder, name: 'tiny', version: 1 }), plan: PLAN };
}

function runBatch(slot: WorkerSlot | undefined, key: number): Promise<RunResult> {
  assert.ok(slot);
  return slot.run(key, [sliceOf(decodedBody(tensorsOf(randomSamples(TINY_SIZE, 2, 3))))]);
}

async function runOn(slot: WorkerSlot | undefined, key: number): Promise<number> {
  const { results } = await runBatch(slot, key);
  const [result] = results;
  return result && 'scores' in result ? result.scores.length : 0;
}

test('a probe is loaded into threads that exist already and into later ones', async (t) => {
  const pool = await poolOf(t, 2);
  await pool.install(await probeOf(t, 1));
  await pool.install(await probeOf(t, 2, { bias: 1 }));
  await pool.grow(3);
  assert.deepEqual([pool.size, pool.live, pool.hung], [3, 3, 0]);
  for (const key of [1, 2]) {
    // Each run takes the first idle thread, so three runs at once are on three threads.
    const runs = Array.from({ length: 3 }, () => runOn(pool.idle(), key));
    assert.equal(pool.idle(), undefined);
    assert.deepEqual(await Promise.all(runs), [3, 3, 3]);
  }
});

test('a refused probe leaves no session', async (t) => {
  const pool = await poolOf(t, 2);
  const broken = await probeOf(t, 1, { edit: (manifest) => (manifest.selftest.scores = [0, 0]) });
  await assert.rejects(pool.install(broken), ProbeRefusedError);
  assert.equal(pool.live, 2);
  await assert.rejects(runOn(pool.idle(), 1), /no probe is loaded under 1/);
  await pool.install(await probeOf(t, 2));
  await pool.grow(3);
  assert.equal(pool.live, 3);
});

test('a thread that is replaced during a run finishes the run and takes no other', async (t) => {
  const pool = await poolOf(t, 1);
  await pool.install(await probeOf(t, 1, { work: 50 }));
  const slot = pool.idle();
  const run = runOn(slot, 1);
  const replaced = slot?.replace('for the test');
  assert.equal(await run, 3);
  assert.equal(pool.idle(), undefined);
  await replaced;
});

test('the replacement of a thread holds every probe', async (t) => {
  const pool = await poolOf(t, 1);
  await pool.install(await probeOf(t, 1));
  const slot = pool.idle();
  await slot?.replace('for the test');
  assert.equal(pool.live, 0);
  while (pool.live === 0) await pause(5);
  assert.equal(await runOn(pool.idle(), 1), 3);
});

