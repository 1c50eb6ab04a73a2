/** The warm-up of a probe in a thread before it may serve: load, selftest, measure or run cold. */
import { messageOf, StartError } from '../../errors.js';
import type { ProbeFiles } from '../../probe/folder.js';
import { ProbeRefusedError } from '../../probe/refused.js';
import type { Placement } from '../types.js';
import type { RunResult } from '../worker/protocol.js';
import { sliceOf, type SampleSlice, usedTokens } from '../worker/sample-slice.js';
import { RunTimeoutError, WorkerDiedError, type WorkerThread } from '../worker/worker-thread.js';
import { measureBatches, type Measurement } from './batch-plan.js';

/** The device that was set by name cannot be used, although the probe itself is sound. */
export class DeviceUnavailableError extends StartError {}

export type ProbeContent = Pick<ProbeFiles, 'manifest' | 'model' | 'selftest'>;

/** A probe and the thread that loads it. The runs of a warm-up are cold and may take longer than others. */
export interface WarmUp {
  readonly probe: ProbeContent & { readonly key: number };
  readonly thread: WorkerThread;
  readonly runLimitMs: number;
}

/** Loads and tests a probe, and runs batches of the given samples once. Throws as loadAndTest does. */
export async function warmUpProbe(warmUp: WarmUp, sizes: readonly number[]): Promise<Placement> {
  const placement = await loadAndTest(warmUp);
  for (const samples of sizes) await timedRun(warmUp, samples);
  return placement;
}

/**
 * Loads and tests a probe, and measures its batches. Throws as loadAndTest does.
 * @param maxBatchSamples the operator's limit of a batch. When omitted, the best size is measured.
 */
export async function measureProbe(warmUp: WarmUp, maxBatchSamples?: number): Promise<Measurement[]> {
  await loadAndTest(warmUp);
  const tokens = usedTokens(sliceOf(warmUp.probe.selftest, 0, 1));
  return measureBatches((samples) => timedRun(warmUp, samples), tokens, maxBatchSamples);
}

/**
 * @throws {ProbeRefusedError} when the probe is at fault, also when the thread is lost.
 * @throws {DeviceUnavailableError}
 */
async function loadAndTest(warmUp: WarmUp): Promise<Placement> {
  const { thread, probe } = warmUp;
  const { key, manifest, model, selftest } = probe;
  const { inputs, output } = manifest;
  const placement = await thread.load(key, { model, inputs, output }).catch(refuse());
  const { device } = thread.settings;
  if (placement.fallback !== undefined && device !== 'auto')
    throw new DeviceUnavailableError(
      `device ${device} cannot be used: ${placement.fallback}; --device auto falls back to the CPU`,
    );
  const { scores: expected, tolerance } = manifest.selftest;
  const { results } = await run(warmUp, [sliceOf(selftest, 0, expected.length)]);
  const [result] = results;
  if (!result || 'fault' in result)
    throw new ProbeRefusedError(`selftest: ${result ? result.fault.detail : 'no result'}`);
  for (const [sample, score] of result.scores.entries()) {
    const wanted = expected[sample] ?? NaN;
    if (!(Math.abs(score - wanted) <= tolerance))
      throw new ProbeRefusedError(`selftest: sample ${sample} scored ${score}, not ${wanted} ± ${tolerance}`);
  }
  return placement;
}

/** Runs a batch of copies of the selftest's first sample and returns how long it took, ms. */
async function timedRun(warmUp: WarmUp, samples: number): Promise<number> {
  const sample = sliceOf(warmUp.probe.selftest, 0, 1);
  const { ms } = await run(warmUp, Array<SampleSlice>(samples).fill(sample));
  return ms;
}

function run({ thread, probe, runLimitMs }: WarmUp, slices: readonly SampleSlice[]): Promise<RunResult> {
  return thread.run(probe.key, slices, runLimitMs).catch(refuse('selftest: the graph cannot be run: '));
}

function refuse(failed = ''): (cause: unknown) => never {
  return (cause) => {
    let what = failed;
    if (cause instanceof RunTimeoutError) what = 'selftest: ';
    if (cause instanceof WorkerDiedError) what = 'the worker thread died while loading it: ';
    throw new ProbeRefusedError(`${what}${messageOf(cause)}`, { cause });
  };
}
