/** A probe is loaded into every thread, earlier and later ones, and threads are replaced. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { type PooledWorker, WorkerPool, type WorkerPoolOptions } from '../../../src/engine/pool/pool.js';
import type { MeasuredProbe } from '../../../src/engine/types.js';
import { BatchPlan } from '../../../src/engine/warm-up/batch-plan.js';
import { readProbeFolder } from '../../../src/probe/folder.js';
import { ProbeRefusedError } from '../../../src/probe/refused.js';
import { sliceOf } from '../../../src/engine/worker/sample-slice.js';
import type { RunResult } from '../../../src/engine/worker/protocol.js';
import { FATAL_TIMESTEP, FRAGILE_WORKER_URL, workerOptions } from '../../support/engine.js';
import { type ProbeFolderOptions, TINY_SIZE, writeProbe } from '../../support/probe-folder.js';
import { decodedBody, randomSamples, tensorsOf } from '../../support/samples.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

async function poolOf(
  t: TestContext,
  threads: number,
  options: Partial<WorkerPoolOptions> = {},
): Promise<WorkerPool> {
  const defaults: WorkerPoolOptions = { ...workerOptions(), onChange: () => {} };
  // An option may be a getter.
  const pool = new WorkerPool(Object.defineProperties(defaults, Object.getOwnPropertyDescriptors(options)));
  t.after(() => pool.close());
  await pool.add(threads);
  return pool;
}

const PLAN = new BatchPlan([{ samples: 2, tokens: 6, ms: 6 }], 2);

async function probeOf(
  t: TestContext,
  key: number,
  options: ProbeFolderOptions = {},
): Promise<MeasuredProbe> {
  const { folder } = await writeProbe(await temporaryFolder(t), options);
  const place = { name: 'tiny', version: 1 };
  return { ...place, ...(await readProbeFolder({ folder, ...place })), key, plan: PLAN };
}

function runBatch(
  pool: WorkerPool,
  worker: PooledWorker | undefined,
  key: number,
  timestep?: number,
): Promise<RunResult> {
  assert.ok(worker);
  const samples = randomSamples(TINY_SIZE, 2, 3).map((sample) =>
    timestep === undefined ? sample : { ...sample, timestep },
  );
  return pool.run(worker, key, [sliceOf(decodedBody(tensorsOf(samples)))]);
}

async function runOn(
  pool: WorkerPool,
  worker: PooledWorker | undefined,
  key: number,
  timestep?: number,
): Promise<number> {
  const { results } = await runBatch(pool, worker, key, timestep);
  const [result] = results;
  return result && 'scores' in result ? result.scores.length : 0;
}

test('a probe is loaded into threads that exist already and into later ones', async (t) => {
  const pool = await poolOf(t, 2);
  await pool.install(await probeOf(t, 1));
  await pool.install(await probeOf(t, 2, { bias: 1 }));
  await pool.add(1);
  assert.deepEqual([pool.live, pool.hung], [3, 0]);
  for (const key of [1, 2]) {
    // Each run takes the first idle thread, so three runs at once are on three threads.
    const runs = Array.from({ length: 3 }, () => runOn(pool, pool.idle(), key));
    assert.equal(pool.idle(), undefined);
    assert.deepEqual(await Promise.all(runs), [3, 3, 3]);
  }
});

test('a refused probe leaves no session', async (t) => {
  const pool = await poolOf(t, 2);
  const broken = await probeOf(t, 1, { edit: (manifest) => (manifest.selftest.scores = [0, 0]) });
  await assert.rejects(pool.install(broken), ProbeRefusedError);
  assert.equal(pool.live, 2);
  await assert.rejects(runOn(pool, pool.idle(), 1), /no probe is loaded under 1/);
  await pool.install(await probeOf(t, 2));
  await pool.add(1);
  assert.equal(pool.live, 3);
});

test('a worker that cannot load a probe which works in another is replaced', async (t) => {
  let starts = 0;
  const restarts: number[] = [];
  const pool = await poolOf(t, 2, {
    // CUDA cannot be used here, so the second thread loads nothing.
    get device() {
      starts += 1;
      return starts === 2 ? ('cuda' as const) : ('cpu' as const);
    },
    observer: { ...workerOptions().observer, workerRestarted: () => restarts.push(pool.live) },
  });
  await pool.install(await probeOf(t, 1));
  assert.equal(pool.live, 1);
  while (pool.live < 2) await pause(5);
  assert.deepEqual([starts, restarts], [3, [1]]);
  assert.deepEqual(await Promise.all([runOn(pool, pool.idle(), 1), runOn(pool, pool.idle(), 1)]), [3, 3]);
});

test('the replacement of a worker that died holds every probe, also one that is installed meanwhile', async (t) => {
  const pool = await poolOf(t, 1, { workerUrl: FRAGILE_WORKER_URL });
  await pool.install(await probeOf(t, 1));
  await assert.rejects(runOn(pool, pool.idle(), 1, FATAL_TIMESTEP), /the fatal timestep/);
  assert.deepEqual([pool.live, pool.idle()], [0, undefined]);
  await pool.install(await probeOf(t, 2));
  assert.deepEqual([await runOn(pool, pool.idle(), 1), await runOn(pool, pool.idle(), 2)], [3, 3]);
});

test('a probe that is uninstalled is gone, also from workers that start later', async (t) => {
  const pool = await poolOf(t, 1);
  await pool.install(await probeOf(t, 1));
  pool.uninstall(1);
  await pool.install(await probeOf(t, 2));
  await pool.add(1);
  const runs = [runBatch(pool, pool.idle(), 1), runBatch(pool, pool.idle(), 1)];
  await Promise.all(runs.map((run) => assert.rejects(run, /no probe is loaded under 1/)));
});

test('only a lone request goes to the wide worker, and its replacement is wide too', async (t) => {
  const pool = await poolOf(t, 1, { workerUrl: FRAGILE_WORKER_URL, wideThreads: 2 });
  await pool.add(1, true);
  await pool.install(await probeOf(t, 1));
  assert.deepEqual([pool.idle(true)?.isWide, pool.idle()?.isWide], [true, false]);
  assert.equal(pool.live, 1);
  const run = runOn(pool, pool.idle(true), 1);
  assert.equal(pool.idle(true)?.isWide, false, 'a busy wide worker takes nothing');
  assert.equal(await run, 3);
  await assert.rejects(runOn(pool, pool.idle(true), 1, FATAL_TIMESTEP));
  assert.equal(pool.idle(true)?.isWide, false, 'another worker serves meanwhile');
  while (!pool.idle(true)?.isWide) await pause(10);
  assert.equal(await runOn(pool, pool.idle(true), 1), 3);
});
