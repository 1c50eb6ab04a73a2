/** Owns what a probe goes through in a thread before it may serve: loaded, compared, tested, warmed up, measured. */
import { type TimedRun, allCoresKey, measureAllCores } from './all-cores.js';
import { type BatchPlan, measureBatches, warmSizes } from './batch-plan.js';
import { graphMismatches } from './check-graph.js';
import { RunTimeoutError } from '../worker/run-timeout.js';
import type { ProbeFiles } from '../../probe/folder.js';
import type { SampleSlice, LoadReply } from '../worker/protocol.js';
import { messageOf } from '../../errors.js';
import { ProbeRefusedError } from '../../probe/folder.js';
import { sliceOf, usedTokens } from '../worker/slice-samples.js';
import {
  type WorkerThread,
  OrderFailedError,
  type RunResult,
  WorkerDiedError,
} from '../worker/worker-thread.js';

/** A probe under the key by which the threads know it. */
export interface KeyedProbe {
  readonly key: number;
  readonly files: ProbeFiles;
}

/** How a probe may be run. */
export interface RunSettings {
  /** The operator's limit of a batch; left out: the best size is found out. */
  readonly maxBatchSamples?: number | undefined;
  /** The threads of a run on all cores; left out: there are no such runs. */
  readonly allCores?: number | undefined;
}

/** What a probe proves itself in. */
export type ProvingThread = Pick<WorkerThread, 'load' | 'run' | 'unload'>;

/** A probe that has been measured in one thread: the others are warmed up by the same plan. */
export interface MeasuredProbe extends KeyedProbe {
  readonly plan: BatchPlan;
}

export interface WarmUpResult {
  readonly about: LoadReply;
  readonly plan: BatchPlan;
}

/**
 * Loads a probe into one thread and proves that it works there. What fails is unloaded again.
 * @throws {ProbeRefusedError} when the probe is at fault.
 * @throws {OrderFailedError} with isDevice when the device is; {WorkerDiedError | RunTimeoutError} when the thread did not survive it.
 */
export function measureProbe(
  thread: ProvingThread,
  probe: KeyedProbe,
  { maxBatchSamples, allCores }: RunSettings,
): Promise<WarmUpResult> {
  return prove(thread, probe, async (about) => {
    const run: TimedRun = (samples) => timedRun(thread, probe, samples);
    const plan = await measureBatches(run, tokensOf(probe), maxBatchSamples);
    if (allCores === undefined || about.provider !== 'cpu') return { about, plan };
    const wide = { ...probe, key: allCoresKey(probe.key), allCores };
    const allCoresFrom = await prove(thread, wide, () =>
      measureAllCores(run, (samples) => timedRun(thread, wide, samples), plan.bestSamples),
    );
    if (allCoresFrom === Infinity) await thread.unload(wide.key);
    return { about, plan: { ...plan, allCoresFrom } };
  });
}

/** Loads a measured probe into a further thread as measureProbe does, and runs every size of batch once. */
export function prepareProbe(
  thread: ProvingThread,
  probe: MeasuredProbe,
  { allCores }: RunSettings,
): Promise<void> {
  const sizes = warmSizes(probe.plan);
  return prove(thread, probe, async () => {
    for (const samples of sizes) await timedRun(thread, probe, samples);
    if (probe.plan.allCoresFrom === Infinity) return;
    const wide = { ...probe, key: allCoresKey(probe.key), allCores };
    await prove(thread, wide, async () => {
      for (const samples of sizes) await timedRun(thread, wide, samples);
    });
  });
}

/** A probe in one session of a thread. */
interface SessionProbe extends KeyedProbe {
  readonly allCores?: number | undefined;
}

async function prove<Result>(
  thread: ProvingThread,
  probe: SessionProbe,
  warmUp: (about: LoadReply) => Promise<Result>,
): Promise<Result> {
  const about = await load(thread, probe);
  try {
    refuseMismatches(about, probe);
    await selftest(thread, probe);
    return await warmUp(about);
  } catch (error) {
    if (!isLost(error)) await thread.unload(probe.key);
    throw error;
  }
}

async function load(thread: ProvingThread, { key, files, allCores }: SessionProbe): Promise<LoadReply> {
  const { manifest, model } = files;
  try {
    return await thread.load({ key, model, inputs: manifest.inputs, output: manifest.output.name, allCores });
  } catch (error) {
    if (error instanceof OrderFailedError && !error.isDevice) {
      throw new ProbeRefusedError(`model.onnx cannot be loaded: ${error.message}`, { cause: error });
    }
    throw error;
  }
}

function refuseMismatches({ inputs, outputs }: LoadReply, { files }: KeyedProbe): void {
  const mismatches = graphMismatches(files.manifest, inputs, outputs);
  if (mismatches.length > 0)
    throw new ProbeRefusedError(`model.onnx is not as probe.json says: ${mismatches.join('; ')}`);
}

async function selftest(thread: ProvingThread, { key, files }: KeyedProbe): Promise<void> {
  const { scores: expected, tolerance } = files.manifest.selftest;
  const scores = await scoresOf(thread, key, sliceOf(files.selftest, 0, expected.length));
  for (const [sample, score] of scores.entries()) {
    const wanted = expected[sample] ?? NaN;
    if (!(Math.abs(score - wanted) <= tolerance)) {
      throw new ProbeRefusedError(`selftest: sample ${sample} scored ${score}, not ${wanted} ± ${tolerance}`);
    }
  }
}

async function scoresOf(thread: ProvingThread, key: number, slice: SampleSlice): Promise<readonly number[]> {
  const [result] = (await runTest(thread, key, [slice])).results;
  if (result && 'scores' in result) return result.scores;
  const reason = result ? result.fault.detail : 'no result';
  throw new ProbeRefusedError(`selftest: ${reason}`);
}

/** Runs the selftest's first sample as a batch of its copies; how long it took, ms. */
async function timedRun(thread: ProvingThread, { key, files }: KeyedProbe, samples: number): Promise<number> {
  const copies = Array.from({ length: samples }, () => sliceOf(files.selftest, 0, 1));
  return (await runTest(thread, key, copies)).ms;
}

function tokensOf({ files }: KeyedProbe): number {
  return usedTokens(sliceOf(files.selftest, 0, 1));
}

async function runTest(
  thread: ProvingThread,
  key: number,
  slices: readonly SampleSlice[],
): Promise<RunResult> {
  try {
    return await thread.run(key, slices);
  } catch (error) {
    if (isLost(error)) throw error;
    throw new ProbeRefusedError(`selftest: the graph cannot be run: ${messageOf(error)}`, { cause: error });
  }
}

/** The thread takes no order any more. */
function isLost(error: unknown): boolean {
  return error instanceof WorkerDiedError || error instanceof RunTimeoutError;
}
