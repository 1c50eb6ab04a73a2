/** The warm-up of a probe in a thread before it may serve: load, compare the graph, selftest, measure or run cold. */
import type { ProbeFiles } from '../../probe/folder.js';
import { ProbeRefusedError } from '../../probe/refused.js';
import type { RunResult, SessionInfo } from '../worker/protocol.js';
import { sliceOf, type SampleSlice, usedTokens } from '../worker/sample-slice.js';
import {
  CommandFailedError,
  RunTimeoutError,
  WorkerDiedError,
  type WorkerThread,
} from '../worker/worker-thread.js';
import { type BatchPlan, measureBatches, type Measurement, warmSizes } from './batch-plan.js';
import { graphMismatches } from './check-graph.js';

/** A probe with the key of its session in the threads. */
export interface KeyedProbe {
  readonly key: number;
  readonly files: Pick<ProbeFiles, 'manifest' | 'model' | 'selftest'>;
}

/** A probe that was measured; every thread uses the same plan. */
export interface MeasuredProbe extends KeyedProbe {
  readonly plan: BatchPlan;
}

/** A thread, and the time limit of its warm-up runs, which are cold and may take longer than others, ms. */
export interface WarmUpThread {
  readonly thread: WorkerThread;
  readonly runLimitMs: number;
}

/**
 * Loads a probe into a thread and tests it there.
 * @throws {ProbeRefusedError} when the probe is at fault, also when the thread is lost.
 * @throws {CommandFailedError} with isDeviceUnavailable when the device is at fault.
 */
export async function loadAndTest(on: WarmUpThread, probe: KeyedProbe): Promise<SessionInfo> {
  const { manifest, model, selftest } = probe.files;
  const {
    inputs,
    output,
    selftest: { scores: expected, tolerance },
  } = manifest;
  const loading = on.thread.load({ key: probe.key, model, inputs, output: output.name });
  const session = await refusing('model.onnx cannot be loaded', loading);
  const mismatches = graphMismatches(manifest, session.inputs, session.outputs);
  if (mismatches.length > 0)
    throw new ProbeRefusedError(`model.onnx is not as probe.json says: ${mismatches.join('; ')}`);
  const { results } = await run(on, probe, [sliceOf(selftest, 0, expected.length)]);
  const [result] = results;
  if (!result || 'fault' in result)
    throw new ProbeRefusedError(`selftest: ${result ? result.fault.detail : 'no result'}`);
  for (const [sample, score] of result.scores.entries()) {
    const wanted = expected[sample] ?? NaN;
    if (!(Math.abs(score - wanted) <= tolerance))
      throw new ProbeRefusedError(`selftest: sample ${sample} scored ${score}, not ${wanted} ± ${tolerance}`);
  }
  return session;
}

/** Loads and tests a measured probe, and runs every size of batch once. Throws as loadAndTest does. */
export async function warmUpProbe(on: WarmUpThread, probe: MeasuredProbe): Promise<SessionInfo> {
  const session = await loadAndTest(on, probe);
  for (const samples of warmSizes(probe.plan)) await timedRun(on, probe, samples);
  return session;
}

/** Loads and tests a probe, and measures its batches. Throws as loadAndTest does. */
export async function measureProbe(
  on: WarmUpThread,
  probe: KeyedProbe,
  maxBatchSamples?: number,
): Promise<Measurement[]> {
  await loadAndTest(on, probe);
  return measureBatches((samples) => timedRun(on, probe, samples), maxBatchSamples);
}

/** The tokens of each sample in the measured batches. */
export function measuredTokens({ selftest }: KeyedProbe['files']): number {
  return usedTokens(sliceOf(selftest, 0, 1));
}

/** Runs a batch of copies of the selftest's first sample and returns how long it took, ms. */
async function timedRun(on: WarmUpThread, probe: KeyedProbe, samples: number): Promise<number> {
  const sample = sliceOf(probe.files.selftest, 0, 1);
  return (
    await run(
      on,
      probe,
      Array.from({ length: samples }, () => sample),
    )
  ).ms;
}

function run(
  { thread, runLimitMs }: WarmUpThread,
  { key }: KeyedProbe,
  slices: readonly SampleSlice[],
): Promise<RunResult> {
  return refusing('selftest: the graph cannot be run', thread.run(key, slices, runLimitMs));
}

/** Puts failures of the probe into words. */
async function refusing<Result>(what: string, command: Promise<Result>): Promise<Result> {
  try {
    return await command;
  } catch (cause) {
    if (cause instanceof RunTimeoutError)
      throw new ProbeRefusedError(`selftest: ${cause.message}`, { cause });
    if (cause instanceof WorkerDiedError)
      throw new ProbeRefusedError(`the worker thread died while loading it: ${cause.message}`, { cause });
    if (cause instanceof CommandFailedError && !cause.isDeviceUnavailable)
      throw new ProbeRefusedError(`${what}: ${cause.message}`, { cause });
    throw cause;
  }
}
