/** A run gets all cores only when it is alone and gains from them, and its scores are the same as otherwise. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';

import { allCoresKey, measureAllCores } from '../../../src/engine/warm-up/all-cores.js';
import { CostModel } from '../../../src/engine/warm-up/cost-model.js';
import type { MeasuredProbe } from '../../../src/engine/warm-up/warm-up.js';
import { readProbeFolder } from '../../../src/probe/folder.js';
import { type SampleSlice, sliceOf } from '../../../src/engine/worker/sample-slice.js';
import { WorkerThread, type RunResult } from '../../../src/engine/worker/worker-thread.js';
import { type SlotRunResult, WorkerSlot } from '../../../src/engine/pool/worker-slot.js';
import { SILENT_LOG } from '../../support/engine.js';
import { TINY_SIZE, temporaryModels, writeProbe } from '../../support/probe-folder.js';
import { decodedBody, randomSamples, tensorsOf } from '../../support/samples.js';

const WORKER_URL = new URL('../../../src/engine/worker/worker.js', import.meta.url);

/** A real thread that records the sessions of its runs. */
class RecordingThread extends WorkerThread {
  readonly keys: number[] = [];

  override run(key: number, slices: readonly SampleSlice[]): Promise<RunResult> {
    this.keys.push(key);
    return super.run(key, slices);
  }
}

async function measuredProbe(t: TestContext, allCoresFrom: number): Promise<MeasuredProbe> {
  const { folder } = await writeProbe(await temporaryModels(t), { work: 2 });
  const cost = new CostModel(1, 0);
  const plan = { bestSamples: 4, maxSamples: 64, maxTokens: 64, allCoresFrom, cost, measurements: [] };
  return { key: 7, files: await readProbeFolder({ folder, name: 'tiny', version: 1 }), plan };
}

async function slotOf(t: TestContext, probe: MeasuredProbe, isAlone: () => boolean) {
  const thread = new RecordingThread(WORKER_URL, { device: 'cpu', intraOpThreads: 1 });
  const slot = new WorkerSlot({
    makeThread: () => thread,
    probes: new Map([[probe.key, probe]]),
    allCores: 2,
    isAlone,
    log: SILENT_LOG,
    onIdle: () => {},
    onDown: () => {},
    onRestart: () => {},
    onHang: () => {},
  });
  t.after(() => slot.close());
  await slot.start();
  assert.equal(slot.state, 'idle');
  return { slot, thread };
}

function run(slot: WorkerSlot, key: number, samples: number): Promise<SlotRunResult> {
  return slot.run(key, [sliceOf(decodedBody(tensorsOf(randomSamples(TINY_SIZE, 3, samples))))]);
}

function scoresOf({ results: [result] }: RunResult): readonly number[] {
  assert.ok(result && 'scores' in result);
  return result.scores;
}

test('only a lone run goes to the session on all cores, and the scores are the same', async (t) => {
  const probe = await measuredProbe(t, 2);
  let isAlone = true;
  const { slot, thread } = await slotOf(t, probe, () => isAlone);
  const [own, all] = [probe.key, allCoresKey(probe.key)];
  assert.ok(thread.keys.includes(own) && thread.keys.includes(all), 'both sessions are warmed up');
  thread.keys.length = 0;

  const alone = await run(slot, probe.key, 3);
  const few = await run(slot, probe.key, 1);
  isAlone = false;
  const beside = await run(slot, probe.key, 3);
  assert.deepEqual(thread.keys, [all, own, own]);
  assert.deepEqual(
    [alone, few, beside].map(({ hadAllCores }) => hadAllCores),
    [true, false, false],
  );
  for (const [index, score] of scoresOf(alone).entries()) {
    assert.ok(Math.abs(score - (scoresOf(beside)[index] ?? NaN)) <= 1e-5);
  }
});

test('a probe that does not gain from all cores has no such session', async (t) => {
  const probe = await measuredProbe(t, Infinity);
  const { slot, thread } = await slotOf(t, probe, () => true);
  assert.equal((await run(slot, probe.key, 3)).hadAllCores, false);
  assert.deepEqual(new Set(thread.keys), new Set([probe.key]));
  await assert.rejects(run(slot, allCoresKey(probe.key), 1), /no probe is loaded under -7|not loaded/);
});

test('unloading a probe releases both of its sessions', async (t) => {
  const probe = await measuredProbe(t, 1);
  const { slot, thread } = await slotOf(t, probe, () => true);
  slot.unload(probe.key);
  for (const key of [probe.key, allCoresKey(probe.key)]) {
    await assert.rejects(thread.run(key, []), new RegExp(`no probe is loaded under ${key}`));
  }
});

/** Runs whose time depends on their samples, ms. */
function timed(times: Readonly<Record<number, number>>) {
  return async (samples: number): Promise<number> => times[samples] ?? NaN;
}

test('all cores are used from the smallest size on from which every size gains a third', async () => {
  const onOne = timed({ 1: 1, 2: 2, 4: 4 });
  assert.equal(await measureAllCores(onOne, timed({ 1: 0.5, 2: 1, 4: 2 }), 4), 1);
  assert.equal(await measureAllCores(onOne, timed({ 1: 0.75, 2: 1.3, 4: 2.5 }), 4), 2);
  assert.equal(await measureAllCores(onOne, timed({ 1: 0.5, 2: 1.9, 4: 2.5 }), 4), 4);
  assert.equal(await measureAllCores(onOne, timed({ 1: 0.5, 2: 1, 4: 3.7 }), 4), Infinity);
});

test('a disturbed run does not change the result', async () => {
  let turn = 0;
  const disturbed = async (): Promise<number> => {
    turn += 1;
    return turn === 1 ? 100 : 0.5;
  };
  assert.equal(await measureAllCores(timed({ 1: 1 }), disturbed, 1), 1);
});
