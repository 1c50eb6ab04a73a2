/** Worker threads die, hang and end, and every request is answered. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import type { Engine } from '../../src/engine/types.js';
import type { DecodedBody } from '../../src/wire/tensor.js';
import { FATAL_TIMESTEP, FRAGILE_WORKER_URL, SILENT_LOG, startEngine } from '../support/engine.js';
import { hangOf } from '../support/hang.js';
import { TINY_SIZE, writeProbe } from '../support/probe-folder.js';
import { decodedBody, randomSamples, scoreBody, tensorsOf } from '../support/samples.js';
import { temporaryFolder } from '../support/temporary-folder.js';

function bodyOf(samples: number, timestep?: number): DecodedBody {
  const made = randomSamples(TINY_SIZE, 3, samples);
  return decodedBody(
    tensorsOf(timestep === undefined ? made : made.map((sample) => ({ ...sample, timestep }))),
  );
}

async function untilReady(engine: Engine): Promise<void> {
  while (!engine.readiness().ready) await pause(5);
}

test('a worker that dies fails only its own requests and is replaced', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine, heard } = await startEngine(t, models, { workerUrl: FRAGILE_WORKER_URL });
  const probe = engine.resolve('tiny');
  const fatal = engine.score(probe, bodyOf(1, FATAL_TIMESTEP));
  const waiting = engine.score(probe, bodyOf(1));
  await assert.rejects(fatal, { code: 'unready', detail: /ended unexpectedly/ });
  await assert.rejects(waiting, { code: 'unready', retryAfterSeconds: 1 });
  assert.deepEqual(engine.readiness(), { ready: false, reason: 'no worker can take work' });
  await assert.rejects(engine.score(probe, bodyOf(1)), { code: 'unready' });
  await untilReady(engine);
  assert.equal(heard.restarts, 1);
  const { scores } = await engine.score(probe, bodyOf(2));
  assert.equal(scores.length, 2);
});

test('the observer hears each run with its requests, also a failed one', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine, heard } = await startEngine(t, models, { workerUrl: FRAGILE_WORKER_URL });
  const probe = engine.resolve('tiny');
  const [first, second, fatal] = [{ first: 1 }, { second: 2 }, { fatal: 3 }];
  await engine.score(probe, bodyOf(1));
  // Two runs, since a batch holds 8 samples.
  await engine.score(probe, bodyOf(9), { origin: first });
  await engine.score(probe, bodyOf(1), { origin: second });
  await assert.rejects(engine.score(probe, bodyOf(1, FATAL_TIMESTEP), { origin: fatal }));
  assert.deepEqual(
    heard.runs.map(({ samples, ms, origins }) => [samples, ms === undefined, ...origins]),
    [
      [1, false],
      [4, false, first],
      [5, false, first],
      [1, false, second],
      [1, true, fatal],
    ],
  );
  assert.ok(heard.runs.every(({ from, to }) => from < to));
});

test('a probe that kills the worker it is loaded into is refused, and the next one is loaded', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { version: 1 });
  const fatal = randomSamples(TINY_SIZE, 3, 2).map((sample) => ({ ...sample, timestep: FATAL_TIMESTEP }));
  await writeProbe(models, { version: 2, selftest: scoreBody(fatal) });
  const { engine } = await startEngine(t, models, { workerUrl: FRAGILE_WORKER_URL });
  const [second, first] = engine.probes();
  assert.equal(second?.reason, 'the worker thread died while loading it: the fatal timestep');
  assert.equal(first?.state, 'serving');
  await engine.score(engine.resolve('tiny'), bodyOf(1));
});

test('with another worker alive the engine stays ready and what waits is scored', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { work: 50 });
  const messages: string[] = [];
  const log = { ...SILENT_LOG, info: (_: object, message: string) => messages.push(message) };
  const options = { workerUrl: FRAGILE_WORKER_URL, workers: 2, log };
  const { engine, heard } = await startEngine(t, models, options);
  while (!messages.includes('every worker has started')) await pause(5);
  const probe = engine.resolve('tiny');
  const fatal = engine.score(probe, bodyOf(1, FATAL_TIMESTEP));
  const others = [1, 2, 3, 4].map((samples) => engine.score(probe, bodyOf(samples)));
  await assert.rejects(fatal, { code: 'unready' });
  assert.deepEqual(engine.readiness(), { ready: true });
  await Promise.all(others);
  while (heard.restarts === 0) await pause(5);
  await Promise.all([1, 2, 3].map((samples) => engine.score(probe, bodyOf(samples))));
});

test('a worker that dies again and again is replaced with growing pauses', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const pauses: number[] = [];
  const log = {
    info: () => {},
    warn: () => {},
    error: (fields: object) => {
      if ('pauseMs' in fields) pauses.push(Number(fields.pauseMs));
    },
  };
  const { engine } = await startEngine(t, models, { workerUrl: FRAGILE_WORKER_URL, log });
  const probe = engine.resolve('tiny');
  for (let death = 0; death < 2; death += 1) {
    await assert.rejects(engine.score(probe, bodyOf(1, FATAL_TIMESTEP)), { code: 'unready' });
    await untilReady(engine);
  }
  await engine.score(probe, bodyOf(1));
  await assert.rejects(engine.score(probe, bodyOf(1, FATAL_TIMESTEP)), { code: 'unready' });
  assert.deepEqual(pauses, [100, 200, 100], 'a successful run resets the pause');
});

test('close finishes the accepted requests, takes no more, and can be called again', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { work: 100 });
  const { engine } = await startEngine(t, models, { workers: 2, maxBatchSamples: 2 });
  const probe = engine.resolve('tiny');
  const accepted = [1, 2, 3, 4, 5].map((samples) => engine.score(probe, bodyOf(samples)));
  const closed = engine.close();
  assert.deepEqual(engine.readiness(), { ready: false, reason: 'shutting down' });
  await assert.rejects(engine.score(probe, bodyOf(1)), { code: 'unready' });
  const results = await Promise.all(accepted);
  assert.deepEqual(
    results.map((result) => result.scores.length),
    [1, 2, 3, 4, 5],
  );
  await closed;
  await engine.close();
});

test('a process whose engine is closed under load ends by itself without an error', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { work: 20 });
  const program = fileURLToPath(new URL('../support/close-under-load.js', import.meta.url));
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [program, models], {
    timeout: 30_000,
  });
  assert.deepEqual([stdout, stderr], ['20 scored', '']);
});

test('close also ends during the pause before a restart', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine, heard } = await startEngine(t, models, { workerUrl: FRAGILE_WORKER_URL });
  const probe = engine.resolve('tiny');
  await assert.rejects(engine.score(probe, bodyOf(1, FATAL_TIMESTEP)), { code: 'unready' });
  await engine.close();
  await pause(150);
  assert.equal(heard.restarts, 0);
});

test('a run that takes too long fails and makes the engine unready until another worker takes its place', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { hang: await hangOf(1000, 779) });
  const hangs: string[] = [];
  const { engine, heard } = await startEngine(t, models, {
    inferenceTimeoutMs: 100,
    onHang: (reason) => hangs.push(reason),
  });
  const probe = engine.resolve('tiny');
  const slow = engine.score(probe, bodyOf(1, 779.5));
  const waiting = engine.score(probe, bodyOf(1));
  await assert.rejects(slow, { code: 'unready', detail: 'The inference did not end in time.' });
  await assert.rejects(waiting, { code: 'unready' });
  assert.deepEqual(engine.readiness(), { ready: false, reason: 'no worker can take work' });
  await untilReady(engine);
  assert.deepEqual([heard.restarts, hangs], [1, []]);
  // The process must outlive the run, or it would be aborted.
  await pause(3000);
});

test('a second run that hangs while the first does is reported', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { hang: await hangOf(2000, 779) });
  const hangs: string[] = [];
  const { engine } = await startEngine(t, models, {
    inferenceTimeoutMs: 100,
    onHang: (reason) => hangs.push(reason),
  });
  for (const reported of [[], ['a run has taken longer than 100 ms']]) {
    await assert.rejects(engine.score(engine.resolve('tiny'), bodyOf(1, 779.5)), { code: 'unready' });
    assert.deepEqual(hangs, reported);
    await untilReady(engine);
    await engine.score(engine.resolve('tiny'), bodyOf(1));
  }
  // The process must outlive the runs, or it would be aborted.
  await pause(4000);
});

test('close does not wait for a run that hangs', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { hang: await hangOf(1000, 779) });
  const { engine, heard } = await startEngine(t, models, { inferenceTimeoutMs: 100 });
  const slow = engine.score(engine.resolve('tiny'), bodyOf(1, 779.5));
  await assert.rejects(slow, { code: 'unready' });
  const start = performance.now();
  await engine.close();
  assert.ok(performance.now() - start < 100);
  assert.deepEqual(heard.batches, []);
  // The process must outlive the run, or it would be aborted.
  await pause(3000);
});

test('many runs on several workers end without a crash', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  for (let round = 0; round < 5; round += 1) {
    const { engine } = await startEngine(t, models, { workers: 3, maxQueueSamples: 1000 });
    const probe = engine.resolve('tiny');
    const scored = await Promise.all(
      Array.from({ length: 100 }, (_, index) => engine.score(probe, bodyOf(1 + (index % 4)))),
    );
    assert.equal(scored.length, 100);
    await engine.close();
  }
});

/** The niceness of every thread of this process; the process's own thread comes first. */
function nicenessOfThreads(): number[] {
  const own = String(process.pid);
  const ids = readdirSync('/proc/self/task').filter((id) => id !== own);
  return [own, ...ids].map((id) => {
    const stat = readFileSync(`/proc/self/task/${id}/stat`, 'utf8');
    // The name before it may hold spaces. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
  });
}

test('runs have a lower priority than the event loop', { skip: process.platform !== 'linux' }, async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  await startEngine(t, models, { intraOpThreads: 2 });
  const [ofLoop = NaN, ...others] = nicenessOfThreads();
  const expected = Math.min(ofLoop + 5, constants.priority.PRIORITY_LOW);
  const lower = others.filter((niceness) => niceness === expected && niceness > ofLoop);
  assert.equal(lower.length, 2, 'the worker and the second thread of its session');
});
