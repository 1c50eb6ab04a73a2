/** Tests batching through a running engine: batches of what has queued up, limits, deadlines, and clients that leave. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { problem } from '../../../src/errors.js';
import { Batcher } from '../../../src/engine/batching/batcher.js';
import { RequestQueue } from '../../../src/engine/batching/queue.js';
import { BatchPlan } from '../../../src/engine/warm-up/batch-plan.js';
import type { PooledWorker } from '../../../src/engine/pool/pool.js';
import type { EngineObserver, EngineResult, ServedProbe } from '../../../src/engine/types.js';
import type { RunResult } from '../../../src/engine/worker/protocol.js';
import type { SampleSlice } from '../../../src/engine/worker/sample-slice.js';
import { sharedCopy } from '../../../src/wire/body-memory.js';
import type { DecodedBody } from '../../../src/wire/tensor.js';
import { type ObservedEngine, startEngine } from '../../support/engine.js';
import { probeWith, requestOf } from '../../support/made-up-probe.js';
import { hangOf } from '../../support/hang.js';
import { TINY_SIZE, writeProbe } from '../../support/probe-folder.js';
import { decodedBody, randomSamples, tensorsOf } from '../../support/samples.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

/** Makes a run long enough that all requests sent meanwhile find the worker busy. */
const SLOW = 100;

function bodyOf(samples: number): DecodedBody {
  return decodedBody(tensorsOf(randomSamples(TINY_SIZE, 3, samples)));
}

/** Keeps the only worker busy: requests that are sent until it settles must wait. */
function block(engine: ObservedEngine['engine'], probe: ServedProbe): Promise<EngineResult> {
  return engine.score(probe, bodyOf(1));
}

/** As the service does, it aborts the request at its deadline. */
function scoreWithin(
  ms: number,
  engine: ObservedEngine['engine'],
  probe: ServedProbe,
  body: DecodedBody,
): Promise<EngineResult> {
  const client = new AbortController();
  const deadline = performance.now() + ms;
  setTimeout(() => client.abort(problem('deadline', 'The deadline has passed.')), ms);
  return engine.score(probe, body, { signal: client.signal, deadline });
}

test('a busy worker then takes what has queued up, in whole requests, up to the limit of a batch', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { work: SLOW });
  const { engine, heard } = await startEngine(t, models, { maxBatchSamples: 8 });
  const probe = engine.resolve('tiny');
  const blocker = block(engine, probe);
  const waiting = [3, 1, 2, 4, 5].map((samples) => engine.score(probe, bodyOf(samples)));
  assert.equal(engine.queueDepth().samples, 15);
  const results = await Promise.all(waiting);
  assert.deepEqual(
    heard.batches.map((batch) => batch.samples),
    [1, 6, 4, 5],
  );
  assert.deepEqual(
    results.map((result) => result.batchSamples),
    [6, 6, 6, 4, 5],
  );
  assert.ok((results[0]?.queueMs ?? 0) > 1, 'it waited for the blocker');
  assert.equal((await blocker).batchSamples, 1);
  assert.deepEqual(engine.queueDepth(), { samples: 0, bytes: 0 });
});

test('with a delay set, an idle worker waits that long for a fuller batch, and does not wait with a full one', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine, heard } = await startEngine(t, models, { maxBatchSamples: 4, maxQueueDelayUs: 300_000 });
  const probe = engine.resolve('tiny');
  const [first] = await Promise.all([1, 2].map((samples) => engine.score(probe, bodyOf(samples))));
  assert.ok((first?.queueMs ?? 0) >= 300, String(first?.queueMs));
  const full = await Promise.all([3, 1].map((samples) => engine.score(probe, bodyOf(samples))));
  assert.ok((full[0]?.queueMs ?? Infinity) < 300, String(full[0]?.queueMs));
  assert.deepEqual(
    heard.batches.map((batch) => batch.samples),
    [3, 4],
  );
  const last = engine.score(probe, bodyOf(1));
  await engine.close();
  assert.equal((await last).batchSamples, 1, 'what waits when the engine closes is scored too');
});

test('each idle worker takes a request at once', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { work: SLOW });
  const { engine, heard } = await startEngine(t, models, { workers: 2 });
  const probe = engine.resolve('tiny');
  await Promise.all([engine.score(probe, bodyOf(1)), engine.score(probe, bodyOf(1))]);
  assert.deepEqual(
    heard.batches.map((batch) => batch.samples),
    [1, 1],
  );
});

test('probes share the workers, the longest waiting first, but never a batch', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { name: 'one', work: SLOW });
  await writeProbe(models, { name: 'two' });
  const { engine, heard } = await startEngine(t, models);
  const [one, two] = [engine.resolve('one'), engine.resolve('two')];
  const blocker = block(engine, one);
  await Promise.all([two, one, two, one].map((probe) => engine.score(probe, bodyOf(1))));
  await blocker;
  assert.deepEqual(
    heard.batches.map(({ model, samples }) => [model, samples]),
    [
      ['one', 1],
      ['two', 2],
      ['one', 2],
    ],
  );
});

test('a full queue refuses requests, by samples and by bytes', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { work: SLOW });
  const bytes = bodyOf(2).bytes.byteLength;
  for (const limits of [{ maxQueueSamples: 5 }, { maxQueueBytes: 2 * bytes }]) {
    const { engine } = await startEngine(t, models, limits);
    const probe = engine.resolve('tiny');
    const waiting = [block(engine, probe), engine.score(probe, bodyOf(2)), engine.score(probe, bodyOf(2))];
    assert.deepEqual(engine.queueDepth(), { samples: 4, bytes: 2 * bytes });
    await assert.rejects(engine.score(probe, bodyOf(2)), {
      code: 'overloaded',
      status: 503,
      retryAfterSeconds: 1,
    });
    await Promise.all(waiting);
    await engine.score(probe, bodyOf(2));
  }
});

test('a request beyond the limits is accepted when nothing waits', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine } = await startEngine(t, models, { maxQueueSamples: 2, maxQueueBytes: 10 });
  const { scores } = await engine.score(engine.resolve('tiny'), bodyOf(5));
  assert.equal(scores.length, 5);
});

test('a request whose deadline passes in the queue is answered then, and counted as skipped', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { hang: await hangOf(500, 1000) });
  const { engine, heard } = await startEngine(t, models);
  const probe = engine.resolve('tiny');
  // The cost model does not know that this run takes so long.
  const long = randomSamples(TINY_SIZE, 3, 1).map((sample) => ({ ...sample, timestep: 2000 }));
  const blocker = engine.score(probe, decodedBody(tensorsOf(long)));
  const late = scoreWithin(50, engine, probe, bodyOf(2));
  await assert.rejects(late, { code: 'deadline', status: 503, detail: /passed/ });
  assert.deepEqual(engine.queueDepth(), { samples: 0, bytes: 0 });
  await blocker;
  assert.deepEqual(heard.skipped, ['deadline']);
});

test('a request that misses its deadline makes the predictions for later ones more cautious', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { hang: await hangOf(500, 1000) });
  const { engine } = await startEngine(t, models);
  const probe = engine.resolve('tiny');
  const predict = (): number => engine.predictedLatencyMs({ tenant: '', receiving: [], probe });
  const long = randomSamples(TINY_SIZE, 3, 1).map((sample) => ({ ...sample, timestep: 2000 }));
  const blocker = engine.score(probe, decodedBody(tensorsOf(long)));
  const before = predict();
  const late = scoreWithin(50, engine, probe, bodyOf(2));
  await assert.rejects(late, { code: 'deadline', detail: /passed/ });
  const after = predict();
  assert.ok(after > before + 10, `${before} ms before, ${after} ms after`);
  await blocker;
});

test('a request that is predicted to miss its deadline is answered at once, and counted', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { hang: await hangOf(30, 0) });
  const { engine, heard } = await startEngine(t, models, { maxBatchSamples: 1 });
  const probe = engine.resolve('tiny');
  const blocker = block(engine, probe);
  const patient = engine.score(probe, bodyOf(1));
  const waiting = engine.score(probe, bodyOf(1), { deadline: performance.now() + 5 });
  await assert.rejects(waiting, { code: 'deadline', detail: /would pass/ });
  assert.equal(engine.queueDepth().samples, 1);
  await Promise.all([blocker, patient]);
  assert.deepEqual(heard.skipped, ['predicted']);
});

test('an idle engine refuses no request because of a prediction', { timeout: 60_000 }, async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { hang: await hangOf(30, 0) });
  const { engine, heard } = await startEngine(t, models);
  const probe = engine.resolve('tiny');
  for (let request = 0; request < 3; request += 1) {
    // The body is made first, and the run takes longer than 10 ms: the deadline passes during the run, not before it.
    const body = bodyOf(8);
    const outcome = scoreWithin(10, engine, probe, body);
    await assert.rejects(outcome, { code: 'deadline', detail: /passed/ });
    while (heard.batches.length <= request) await pause(5);
  }
  assert.deepEqual(heard.skipped, ['deadline', 'deadline', 'deadline']);
});

test('a deadline that has passed is refused, and one that is far away is accepted', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine, heard } = await startEngine(t, models);
  const probe = engine.resolve('tiny');
  await assert.rejects(engine.score(probe, bodyOf(1), { deadline: performance.now() - 1 }), {
    code: 'deadline',
  });
  await engine.score(probe, bodyOf(1), { deadline: performance.now() + 1e12 });
  assert.deepEqual(heard.skipped, ['deadline']);
});

test('a request whose client leaves is skipped, and the others of its batch are scored', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { work: SLOW });
  const { engine, heard } = await startEngine(t, models);
  const probe = engine.resolve('tiny');
  const blocker = block(engine, probe);
  const client = new AbortController();
  const before = engine.score(probe, bodyOf(1));
  const gone = engine.score(probe, bodyOf(3), { signal: client.signal });
  const after = engine.score(probe, bodyOf(1));
  client.abort();
  await assert.rejects(gone, { name: 'AbortError' });
  assert.equal(engine.queueDepth().samples, 2);
  await Promise.all([blocker, before, after]);
  assert.deepEqual(heard.skipped, ['aborted']);
  assert.deepEqual(
    heard.batches.map((batch) => batch.samples),
    [1, 2],
  );
  await assert.rejects(engine.score(probe, bodyOf(1), { signal: client.signal }), { name: 'AbortError' });
});

test('a client may leave during its run or after it', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { work: SLOW });
  const { engine } = await startEngine(t, models);
  const probe = engine.resolve('tiny');
  const client = new AbortController();
  const running = engine.score(probe, bodyOf(1), { signal: client.signal });
  client.abort();
  await assert.rejects(running, { name: 'AbortError' });
  const second = new AbortController();
  await engine.score(probe, bodyOf(1), { signal: second.signal });
  second.abort();
  await engine.score(probe, bodyOf(1));
});

test('the event loop is not blocked during inference', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { work: 5 * SLOW });
  const { engine } = await startEngine(t, models);
  const state = { isRunning: true };
  const run = engine.score(engine.resolve('tiny'), bodyOf(8)).finally(() => {
    state.isRunning = false;
  });
  let ticks = 0;
  while (state.isRunning) {
    await pause(1);
    ticks += 1;
  }
  const { inferenceMs } = await run;
  assert.ok(ticks > inferenceMs / 10, `${ticks} ticks in ${inferenceMs} ms`);
});

test('a body that holds no sample is refused', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine } = await startEngine(t, models);
  const empty = decodedBody({ timestep: { dtype: 'F32', shape: [0], data: new Float32Array() } });
  await assert.rejects(engine.score(engine.resolve('tiny'), empty), { code: 'empty_batch' });
});

test('a body can be scored again, in shared memory or not', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine } = await startEngine(t, models);
  const probe = engine.resolve('tiny');
  const body = bodyOf(2);
  const shared = { ...body, bytes: sharedCopy(new Uint8Array(body.bytes)) };
  const first = await engine.score(probe, body);
  for (const again of [body, shared])
    assert.deepEqual((await engine.score(probe, again)).scores, first.scores);
});

test('a split request whose time is up leaves the queue with all its parts, and counts once', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models, { work: SLOW });
  const { engine, heard } = await startEngine(t, models, { maxBatchSamples: 2 });
  const probe = engine.resolve('tiny');
  const blocker = block(engine, probe);
  const client = new AbortController();
  const split = engine.score(probe, bodyOf(7), { signal: client.signal, deadline: performance.now() + 1e6 });
  assert.equal(engine.queueDepth().samples, 7);
  client.abort(problem('deadline', 'No answer in time.'));
  await assert.rejects(split, { code: 'deadline', detail: 'No answer in time.' });
  assert.deepEqual(engine.queueDepth(), { samples: 0, bytes: 0 });
  assert.deepEqual(heard.skipped, ['deadline']);
  await blocker;
});

test('a batch that waits to be fuller does not keep the process alive', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine } = await startEngine(t, models, { maxBatchSamples: 4, maxQueueDelayUs: 60_000_000 });
  const timers = (): number =>
    process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
  const before = timers();
  const client = new AbortController();
  const waiting = engine.score(engine.resolve('tiny'), bodyOf(1), { signal: client.signal });
  assert.equal(engine.queueDepth().samples, 1);
  assert.equal(timers(), before);
  client.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
});

test('a lone request gets the wide worker, unless requests were open side by side just before', async () => {
  const lone: boolean[] = [];
  const idle = (isLone = false): PooledWorker => {
    lone.push(isLone);
    return {} as PooledWorker;
  };
  const run = async (_worker: unknown, _key: number, slices: readonly SampleSlice[]): Promise<RunResult> => ({
    results: slices.map(({ samples }) => ({ scores: Array.from({ length: samples }, () => 0) })),
    ms: 1,
  });
  const requestQueue = new RequestQueue({ maxQueueSamples: 64, maxQueueBytes: Infinity });
  const batcher = new Batcher({
    requestQueue,
    pool: { idle, run, live: 1 },
    observer: { batchRun: () => {}, entrySkipped: () => {} } as unknown as EngineObserver,
  });
  const submit = (): Promise<unknown> => {
    const request = requestOf(1, probeWith(1, 4));
    batcher.submit(request, undefined);
    return request.answer;
  };
  const wasLone = async (requests: number): Promise<boolean> => {
    lone.length = 0;
    await Promise.all(Array.from({ length: requests }, submit));
    await batcher.untilIdle();
    return lone.includes(true);
  };
  assert.equal(await wasLone(1), true);
  await wasLone(2);
  assert.equal(await wasLone(1), false, 'the one after two at once');
  assert.equal(await wasLone(1), true);
});

test('little work waits for a run that ends soon, but not for one that hangs', async () => {
  const workers = [{}, {}] as PooledWorker[];
  const busy = new Set<PooledWorker>();
  const ends: (() => void)[] = [];
  const samples: number[] = [];
  const run = async (
    worker: PooledWorker,
    _key: number,
    slices: readonly SampleSlice[],
  ): Promise<RunResult> => {
    busy.add(worker);
    samples.push(slices.length);
    await new Promise<void>((end) => ends.push(end));
    busy.delete(worker);
    return { results: slices.map(() => ({ scores: [0] })), ms: 1 };
  };
  const batcher = new Batcher({
    requestQueue: new RequestQueue({ maxQueueSamples: 64, maxQueueBytes: Infinity }),
    pool: { idle: () => workers.find((worker) => !busy.has(worker)), run, live: 2 },
    observer: { batchRun: () => {}, entrySkipped: () => {} } as unknown as EngineObserver,
  });
  const plan = new BatchPlan([{ samples: 1, tokens: 1, ms: 1 }], 8);
  const probe = { ...probeWith(1, 8), plan };
  const submit = (): void => batcher.submit(requestOf(1, probe), undefined);
  submit();
  submit();
  assert.deepEqual(samples, [1], 'one sample takes 1 ms, and the run ends within that time');
  submit();
  assert.deepEqual(samples, [1, 2], 'two are worth a second worker');
  ends.splice(0).forEach((end) => end());
  await batcher.untilIdle();
  submit();
  submit();
  for (let waited = 0; samples.length < 4 && waited < 1000; waited += 5) await pause(5);
  assert.deepEqual(samples, [1, 2, 1, 1], 'the run has not ended when it was predicted to');
  ends.forEach((end) => end());
  await batcher.untilIdle();
});
