/** A program that closes a busy engine and must then end by itself. */
import { createEngine } from '../../src/engine/engine.js';
import { RunningClock } from '../../src/running-clock.js';
import { SILENT_LOG } from './engine.js';
import { TINY_SIZE } from './probe-folder.js';
import { decodedBody, randomSamples, tensorsOf } from './samples.js';

process.env['ORT_DISABLE_TELEMETRY'] = '1';
const nothing = (): void => {};
const engine = await createEngine({
  modelsDir: process.argv[2] ?? '',
  device: 'cpu',
  workers: 2,
  intraOpThreads: 1,
  maxBatchSamples: 2,
  maxQueueSamples: 100,
  maxQueueBytes: 1e9,
  clock: new RunningClock(),
  log: SILENT_LOG,
  observer: {
    batchRun: nothing,
    entrySkipped: nothing,
    workerRestarted: nothing,
    probeLoaded: nothing,
    probeUnloaded: nothing,
    probeRefused: nothing,
  },
});
const probe = engine.resolve(undefined);
const scored = Promise.all(
  Array.from({ length: 20 }, () =>
    engine.score(probe, decodedBody(tensorsOf(randomSamples(TINY_SIZE, 2, 1)))),
  ),
);
await engine.close();
process.stdout.write(`${(await scored).length} scored`);
