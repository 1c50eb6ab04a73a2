/** The warm-up of a probe in a thread before it may serve: load, compare the graph, selftest, measure or run cold. */
import type { ProbeFiles } from '../../probe/folder.js';
import { messageOf } from '../../errors.js';
import { ProbeRefusedError } from '../../probe/folder.js';
import type { SessionInfo } from '../worker/protocol.js';
import { type SampleSlice, sliceOf, usedTokens } from '../worker/sample-slice.js';
import {
  CommandFailedError,
  type RunResult,
  RunTimeoutError,
  WorkerDiedError,
  type WorkerThread,
} from '../worker/worker-thread.js';
import { type BatchPlan, type TimedRun, measureBatches, warmSizes } from './batch-plan.js';
import { graphMismatches } from './check-graph.js';

/** A probe with the key of its session in the threads. */
export interface KeyedProbe {
  readonly key: number;
  readonly files: ProbeFiles;
}

/** What the warm-up needs of a thread. */
export type WarmUpThread = Pick<WorkerThread, 'load' | 'run' | 'unload'>;

/** A probe that was measured; every thread uses the same plan. */
export interface MeasuredProbe extends KeyedProbe {
  readonly plan: BatchPlan;
}

export interface WarmUpResult {
  readonly session: SessionInfo;
  readonly plan: BatchPlan;
}

/**
 * Loads a probe into one thread, tests it there and measures its batches. A probe that fails is unloaded again.
 * @param maxBatchSamples the operator's limit of a batch. When omitted, the best size is measured.
 * @throws {ProbeRefusedError} when the probe is at fault.
 * @throws {CommandFailedError} with isDeviceUnavailable when the device is at fault.
 * @throws {WorkerDiedError | RunTimeoutError} when the thread died or hangs.
 */
export function measureProbe(
  thread: WarmUpThread,
  probe: KeyedProbe,
  maxBatchSamples?: number,
): Promise<WarmUpResult> {
  return loadAndTest(thread, probe, async (session) => {
    const run: TimedRun = (samples) => timedRun(thread, probe, samples);
    const tokens = usedTokens(sliceOf(probe.files.selftest, 0, 1));
    return { session, plan: await measureBatches(run, tokens, maxBatchSamples) };
  });
}

/** Loads and tests a measured probe as measureProbe does, and runs every size of batch once. */
export function warmUpProbe(thread: WarmUpThread, probe: MeasuredProbe): Promise<SessionInfo> {
  return loadAndTest(thread, probe, async (info) => {
    for (const samples of warmSizes(probe.plan)) await timedRun(thread, probe, samples);
    return info;
  });
}

/** Loads and tests a probe, then calls `warmUp`. Unloads the probe when any of these fails. */
async function loadAndTest<Result>(
  thread: WarmUpThread,
  probe: KeyedProbe,
  warmUp: (session: SessionInfo) => Promise<Result>,
): Promise<Result> {
  const session = await load(thread, probe);
  try {
    const mismatches = graphMismatches(probe.files.manifest, session.inputs, session.outputs);
    if (mismatches.length > 0)
      throw new ProbeRefusedError(`model.onnx is not as probe.json says: ${mismatches.join('; ')}`);
    await selftest(thread, probe);
    return await warmUp(session);
  } catch (error) {
    if (!isThreadLost(error)) await thread.unload(probe.key);
    throw error;
  }
}

async function load(thread: WarmUpThread, { key, files }: KeyedProbe): Promise<SessionInfo> {
  const { manifest, model } = files;
  try {
    return await thread.load({ key, model, inputs: manifest.inputs, output: manifest.output.name });
  } catch (error) {
    if (error instanceof CommandFailedError && !error.isDeviceUnavailable)
      throw new ProbeRefusedError(`model.onnx cannot be loaded: ${error.message}`, { cause: error });
    throw error;
  }
}

async function selftest(thread: WarmUpThread, { key, files }: KeyedProbe): Promise<void> {
  const { scores: expected, tolerance } = files.manifest.selftest;
  const { results } = await runBatch(thread, key, [sliceOf(files.selftest, 0, expected.length)]);
  const [result] = results;
  if (!result || 'fault' in result)
    throw new ProbeRefusedError(`selftest: ${result ? result.fault.detail : 'no result'}`);
  for (const [sample, score] of result.scores.entries()) {
    const wanted = expected[sample] ?? NaN;
    if (!(Math.abs(score - wanted) <= tolerance))
      throw new ProbeRefusedError(`selftest: sample ${sample} scored ${score}, not ${wanted} ± ${tolerance}`);
  }
}

/** Runs a batch of copies of the selftest's first sample and returns how long it took, ms. */
async function timedRun(thread: WarmUpThread, { key, files }: KeyedProbe, samples: number): Promise<number> {
  const copies = Array.from({ length: samples }, () => sliceOf(files.selftest, 0, 1));
  return (await runBatch(thread, key, copies)).ms;
}

async function runBatch(
  thread: WarmUpThread,
  key: number,
  slices: readonly SampleSlice[],
): Promise<RunResult> {
  try {
    return await thread.run(key, slices);
  } catch (error) {
    if (isThreadLost(error)) throw error;
    throw new ProbeRefusedError(`selftest: the graph cannot be run: ${messageOf(error)}`, { cause: error });
  }
}

/** The thread takes no more commands. */
function isThreadLost(error: unknown): boolean {
  return error instanceof WorkerDiedError || error instanceof RunTimeoutError;
}
