/** Tests that changes of the model repository under load lose no answer, confuse no versions and leave no memory behind. */
import assert from 'node:assert/strict';
import { cp, mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import type { Engine } from '../../src/engine/types.js';
import { startRealApp } from '../support/app.js';
import { underLoad } from '../support/load.js';
import { memoryBesideHeap } from '../support/memory.js';
import { writeProbe } from '../support/probe-folder.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const POLL_MS = 20;
const SWAPS = 24;
/** Each session of a tiny probe takes some megabytes; the sessions of all swaps together would take twice as much. */
const MOST_GROWTH_BYTES = 28 * 1024 * 1024;
const RELEASE_MS = 20_000;

async function untilServing(engine: Engine, version: number, isRefused = false): Promise<void> {
  const isSo = (): boolean => {
    const refused = engine.probes().some(({ reason }) => reason !== undefined);
    return engine.resolve('tiny').version === version && refused === isRefused;
  };
  while (!isSo()) await pause(5);
}

test('versions are added, corrupted, half-written, repaired and deleted under load', async (t) => {
  const { listen, engine, modelsDir } = await startRealApp(
    t,
    {},
    { workers: 2, modelsPollMs: POLL_MS },
    { bias: 1 },
  );
  const origin = await listen();
  const elsewhere = await temporaryFolder(t);
  const biases = new Map([
    [1, 1],
    [2, 2],
    [3, 3],
  ]);
  const tally = await underLoad(
    t,
    origin,
    async () => {
      const { folder: second } = await writeProbe(modelsDir, { version: 2, bias: 2 });
      await untilServing(engine, 2);
      await truncate(path.join(second, 'model.onnx'), 100);
      await untilServing(engine, 2, true);
      await writeFile(path.join(second, 'probe.json'), 'rubbish');
      await pause(5 * POLL_MS);
      await untilServing(engine, 2, true);

      const { folder: whole } = await writeProbe(elsewhere, { version: 3, bias: 3 });
      const third = path.join(modelsDir, 'tiny', '3');
      await mkdir(third);
      for (const file of ['probe.json', 'model.onnx', 'selftest.safetensors']) {
        await pause(3 * POLL_MS);
        await cp(path.join(whole, file), path.join(third, file));
      }
      await untilServing(engine, 3, true);
      await rm(second, { recursive: true });
      await untilServing(engine, 3);
      await rm(third, { recursive: true });
      await untilServing(engine, 1);
    },
    { biases },
  );
  assert.deepEqual(Object.keys(tally), ['scored'], JSON.stringify(tally));
  assert.deepEqual(engine.queueDepth(), { samples: 0, bytes: 0 });
});

test('a version that is replaced repeatedly under load releases its memory', async (t) => {
  const { listen, modelsDir, app } = await startRealApp(t, {}, { workers: 1 });
  const origin = await listen();
  const swap = async (bias: number): Promise<void> => {
    // A new graph with the same scores.
    await writeProbe(modelsDir, { edit: (manifest) => (manifest.backbone = `tiny ${bias}`) });
    const response = await app.inject({ method: 'POST', url: '/models/reload' });
    assert.match(response.body, /"change":"replaced"/);
  };
  const tally = await underLoad(t, origin, async () => {
    for (let round = 0; round < 4; round += 1) await swap(round);
    const before = memoryBesideHeap();
    for (let round = 0; round < SWAPS; round += 1) await swap(100 + round);
    let growth = memoryBesideHeap() - before;
    // The last sessions and their memory go once their requests are answered and the worker's heap is collected.
    for (const deadline = Date.now() + RELEASE_MS; growth >= MOST_GROWTH_BYTES; await pause(100)) {
      assert.ok(Date.now() < deadline, `${growth} bytes more`);
      growth = memoryBesideHeap() - before;
    }
  });
  assert.deepEqual(Object.keys(tally), ['scored'], JSON.stringify(tally));
});
