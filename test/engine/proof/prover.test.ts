/** A probe is tested in another process, which is killed at its limits; what it has measured is used. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { Prover } from '../../../src/engine/proof/prover.js';
import type { BatchPlan } from '../../../src/engine/warm-up/batch-plan.js';
import { type ProbeFiles, readProbeFolder } from '../../../src/probe/folder.js';
import { ProbeRefusedError } from '../../../src/probe/refused.js';
import type { ResolvedOptions } from '../../../src/engine/types.js';
import { workerOptions } from '../../support/engine.js';
import { type ProbeFolderOptions, TINY_SIZE, writeProbe } from '../../support/probe-folder.js';
import { randomSamples, scoreBody } from '../../support/samples.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

function proverOf(t: TestContext, options: Partial<ResolvedOptions> = {}): Prover {
  const prover = new Prover({ ...workerOptions(), ...options });
  t.after(() => prover.release());
  return prover;
}

/** A probe of which the selftest never ends. */
const ENDLESS: ProbeFolderOptions = {
  hang: { above: 1000, turns: 2 ** 52 },
  selftest: scoreBody(randomSamples(TINY_SIZE, 3, 2).map((sample) => ({ ...sample, timestep: 2000 }))),
};

async function filesOf(t: TestContext, options: ProbeFolderOptions = {}): Promise<ProbeFiles> {
  const { folder } = await writeProbe(await temporaryFolder(t), options);
  return readProbeFolder({ folder, name: 'tiny', version: 1 });
}

function prove(prover: Prover, files: ProbeFiles): Promise<BatchPlan> {
  return prover.prove(files, new AbortController().signal);
}

test('a sound probe passes with a plan that predicts, also after a broken one', async (t) => {
  const prover = proverOf(t);
  const broken = await filesOf(t, { edit: (manifest) => (manifest.selftest.scores = [0, 0]) });
  const sound = await filesOf(t, { work: 20 });
  const refused = assert.rejects(prove(prover, broken), (error: Error) => {
    assert.match(error.message, /^selftest: sample 0 scored /);
    return error instanceof ProbeRefusedError;
  });
  const [plan] = await Promise.all([prove(prover, sound), refused]);
  assert.equal(plan.maxSamples, 64);
  assert.ok(plan.bestSamples >= 1 && plan.measurements.length > 0);
  assert.ok(plan.predict(100) > 0 && Number.isFinite(plan.predict(100)));
});

test('an operator’s batch size is kept, with no limit of tokens', async (t) => {
  const plan = await prove(proverOf(t, { maxBatchSamples: 3 }), await filesOf(t));
  assert.deepEqual([plan.bestSamples, plan.maxSamples, plan.maxPaddedTokens], [3, 3, undefined]);
});

for (const [limit, options, reason] of [
  ['one run', { warmUpTimeoutMs: 500 }, 'selftest: a run has taken longer than 500 ms'],
  ['the whole test', { proofTimeoutMs: 3000 }, 'its test took more than 3000 ms'],
  ['memory', { proofMemoryBytes: 1_000_000 }, 'its test took more than 1000000 bytes of memory'],
] as const) {
  test(`a probe that exceeds the limit of ${limit} is refused, and the next one is tested`, async (t) => {
    const prover = proverOf(t, options);
    await assert.rejects(prove(prover, await filesOf(t, ENDLESS)), new ProbeRefusedError(reason));
    if (limit === 'memory') return;
    await prove(prover, await filesOf(t));
  });
}

test('a probe that ends the process is refused', async (t) => {
  const crash = 'data:text/javascript,process.kill(process.pid,"SIGSEGV")';
  const prover = proverOf(t, { workerUrl: new URL(crash) });
  await assert.rejects(
    prove(prover, await filesOf(t)),
    new ProbeRefusedError('the process that tested it ended with SIGSEGV'),
  );
});

test('a test that is under way can be ended, one that waits does not begin, and the next one is made', async (t) => {
  const prover = proverOf(t);
  const [endless, sound] = [await filesOf(t, ENDLESS), await filesOf(t)];
  const stop = new AbortController();
  const underWay = assert.rejects(prover.prove(endless, stop.signal), ProbeRefusedError);
  const waiting = assert.rejects(prover.prove(sound, stop.signal), { name: 'AbortError' });
  await pause(300);
  stop.abort();
  prover.release();
  await Promise.all([underWay, waiting]);
  await prove(prover, sound);
});

test('a process whose service ends while it starts ends too', async () => {
  const program = fileURLToPath(new URL('../../../src/engine/proof/proof-process.js', import.meta.url));
  const worker = new URL('../../../src/engine/worker/worker.js', import.meta.url).href;
  const settings = { workerUrl: worker, worker: { device: 'cpu', intraOpThreads: 1 }, warmUpTimeoutMs: 1000 };
  const child = fork(program, [JSON.stringify(settings)], {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const ended = once(child, 'exit');
  child.disconnect();
  const [, signal] = (await ended) as [unknown, unknown];
  assert.equal(signal, 'SIGKILL');
});
