/** Owns the proof that a run gets all cores just when it is alone and gains from them, and scores then as it does otherwise. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';

import { allCoresKey, measureAllCores } from '../../../src/engine/warm-up/all-cores.js';
import { CostModel } from '../../../src/engine/warm-up/cost-model.js';
import type { MeasuredProbe } from '../../../src/engine/warm-up/warm-up.js';
import { readProbeFolder } from '../../../src/probe/folder.js';
import type { SampleSlice } from '../../../src/engine/worker/protocol.js';
import { wholeSlice } from '../../../src/engine/worker/slice-samples.js';
import { WorkerThread, type RunResult } from '../../../src/engine/worker/worker-thread.js';
import { type SlotRunResult, WorkerSlot } from '../../../src/engine/pool/worker-slot.js';
import { SILENT_LOG } from '../../support/engine.js';
import { TINY_SIZE, temporaryModels, writeProbe } from '../../support/probe-folder.js';
import { decodedBody, randomSamples, tensorsOf } from '../../support/samples.js';

const WORKER_URL = new URL('../../../src/engine/worker/worker.js', import.meta.url);

/** A real thread that notes which sessions it is asked for. */
class NotingThread extends WorkerThread {
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
  const thread = new NotingThread(WORKER_URL, { device: 'cpu', intraOpThreads: 1 });
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
  return slot.run(key, [wholeSlice(decodedBody(tensorsOf(randomSamples(TINY_SIZE, 3, samples))))]);
}

function scoresOf({ results: [result] }: RunResult): readonly number[] {
  assert.ok(result && 'scores' in result);
  return result.scores;
}

test('a run that is alone goes to the session on all cores, any other to that on one, with the same scores', async (t) => {
  const probe = await measuredProbe(t, 2);
  let isAlone = true;
  const { slot, thread } = await slotOf(t, probe, () => isAlone);
  const [own, wide] = [probe.key, allCoresKey(probe.key)];
  assert.ok(thread.keys.includes(own) && thread.keys.includes(wide), 'each is warmed up');
  thread.keys.length = 0;

  const alone = await run(slot, probe.key, 3);
  const few = await run(slot, probe.key, 1);
  isAlone = false;
  const beside = await run(slot, probe.key, 3);
  assert.deepEqual(thread.keys, [wide, own, own]);
  assert.deepEqual(
    [alone, few, beside].map(({ hadAllCores }) => hadAllCores),
    [true, false, false],
  );
  for (const [index, score] of scoresOf(alone).entries()) {
    assert.ok(Math.abs(score - (scoresOf(beside)[index] ?? NaN)) <= 1e-5);
  }
});

test('where all cores bring nothing there is no such session', async (t) => {
  const probe = await measuredProbe(t, Infinity);
  const { slot, thread } = await slotOf(t, probe, () => true);
  assert.equal((await run(slot, probe.key, 3)).hadAllCores, false);
  assert.deepEqual(new Set(thread.keys), new Set([probe.key]));
  await assert.rejects(run(slot, allCoresKey(probe.key), 1), /no probe is loaded under -7|not loaded/);
});

test('a probe that is taken out of a thread leaves no session behind', async (t) => {
  const probe = await measuredProbe(t, 1);
  const { slot, thread } = await slotOf(t, probe, () => true);
  slot.unload(probe.key);
  for (const key of [probe.key, allCoresKey(probe.key)]) {
    await assert.rejects(thread.run(key, []), new RegExp(`no probe is loaded under ${key}`));
  }
});

/** Times of runs by their samples, ms. */
function timed(times: Readonly<Record<number, number>>) {
  return async (samples: number): Promise<number> => times[samples] ?? NaN;
}

test('all cores are for the sizes that gain a third by them, and for all larger ones', async () => {
  const onOne = timed({ 1: 1, 2: 2, 4: 4 });
  assert.equal(await measureAllCores(onOne, timed({ 1: 0.5, 2: 1, 4: 2 }), 4), 1);
  assert.equal(await measureAllCores(onOne, timed({ 1: 0.75, 2: 1.3, 4: 2.5 }), 4), 2);
  assert.equal(await measureAllCores(onOne, timed({ 1: 0.5, 2: 1.9, 4: 2.5 }), 4), 4);
  assert.equal(await measureAllCores(onOne, timed({ 1: 0.5, 2: 1, 4: 3.7 }), 4), Infinity);
});

test('a run that was disturbed does not decide', async () => {
  let turn = 0;
  const disturbed = async (): Promise<number> => {
    turn += 1;
    return turn === 1 ? 100 : 0.5;
  };
  assert.equal(await measureAllCores(timed({ 1: 1 }), disturbed, 1), 1);
});
