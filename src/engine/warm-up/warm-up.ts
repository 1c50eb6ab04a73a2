/** The warm-up of a probe in a thread before it may serve: load, compare the graph, selftest, measure or run cold. */
import type { ProbeFiles } from '../../probe/folder.js';
import type { Manifest } from '../../probe/manifest.js';
import { ProbeRefusedError } from '../../probe/refused.js';
import { type GraphValue, ORT_TYPES, type RunResult, type SessionInfo } from '../worker/protocol.js';
import { sliceOf, type SampleSlice, usedTokens } from '../worker/sample-slice.js';
import {
  CommandFailedError,
  RunTimeoutError,
  WorkerDiedError,
  type WorkerThread,
} from '../worker/worker-thread.js';
import { type BatchPlan, measureBatches, type Measurement } from './batch-plan.js';

/** What is loaded of a probe. */
export type ProbeContent = Pick<ProbeFiles, 'manifest' | 'model' | 'selftest'>;

/** Where a probe is loaded. The runs of a warm-up are cold and may take longer than others. */
export interface WarmUp {
  /** Of the probe's session in every thread. */
  readonly key: number;
  readonly files: ProbeContent;
  readonly thread: WorkerThread;
  readonly runLimitMs: number;
}

/** Loads and tests a measured probe, and runs every size of batch once. Throws as loadAndTest does. */
export async function warmUpProbe(warmUp: WarmUp, plan: BatchPlan): Promise<SessionInfo> {
  const session = await loadAndTest(warmUp);
  for (const samples of plan.warmSizes) await timedRun(warmUp, samples);
  return session;
}

/**
 * Loads and tests a probe, and measures its batches. Throws as loadAndTest does.
 * @param maxBatchSamples the operator's limit of a batch. When omitted, the best size is measured.
 */
export async function measureProbe(warmUp: WarmUp, maxBatchSamples?: number): Promise<Measurement[]> {
  await loadAndTest(warmUp);
  return measureBatches((samples) => timedRun(warmUp, samples), maxBatchSamples);
}

/** The tokens of each sample in the measured batches. */
export function measuredTokens({ selftest }: ProbeContent): number {
  return usedTokens(sliceOf(selftest, 0, 1));
}

/**
 * @throws {ProbeRefusedError} when the probe is at fault, also when the thread is lost.
 * @throws {CommandFailedError} with isDeviceUnavailable when the device is at fault.
 */
async function loadAndTest(warmUp: WarmUp): Promise<SessionInfo> {
  const { manifest, model, selftest } = warmUp.files;
  const { inputs, output } = manifest;
  const loading = warmUp.thread.load({ key: warmUp.key, model, inputs, output: output.name });
  const session = await refusing('model.onnx cannot be loaded', loading);
  const wrong = graphMismatches(manifest, session);
  if (wrong.length > 0)
    throw new ProbeRefusedError(`model.onnx is not as probe.json says: ${wrong.join('; ')}`);
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
  return session;
}

/** Runs a batch of copies of the selftest's first sample and returns how long it took, ms. */
async function timedRun(warmUp: WarmUp, samples: number): Promise<number> {
  const sample = sliceOf(warmUp.files.selftest, 0, 1);
  const copies = Array.from({ length: samples }, () => sample);
  const { ms } = await run(warmUp, copies);
  return ms;
}

function run({ thread, key, runLimitMs }: WarmUp, slices: readonly SampleSlice[]): Promise<RunResult> {
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

/** One sentence per difference between a graph and its manifest. */
function graphMismatches({ inputs, output }: Manifest, graph: SessionInfo): string[] {
  const undeclared = graph.inputs
    .filter((value) => !inputs.some((input) => input.name === value.name))
    .map((value) => `the graph needs an input "${value.name}" that probe.json does not declare`);
  return [
    ...inputs.flatMap((input) => mismatches(`input "${input.name}"`, input, graph.inputs)),
    ...mismatches(`output "${output.name}"`, output, graph.outputs),
    ...undeclared,
  ];
}

function mismatches(
  role: string,
  { name, dtype, shape }: Manifest['inputs'][number] | Manifest['output'],
  values: readonly GraphValue[],
): string[] {
  const value = values.find((candidate) => candidate.name === name);
  if (!value) return [`the graph has no ${role}`];
  const wrong: string[] = [];
  if (value.type !== ORT_TYPES[dtype])
    wrong.push(`the graph's ${role} is ${value.type}, not ${ORT_TYPES[dtype]}`);
  // A fixed axis must have the same size in both; a symbolic one must be symbolic in the graph, under any name.
  const axesAgree = shape.every((axis, index) =>
    typeof axis === 'number' ? value.shape[index] === axis : typeof value.shape[index] === 'string',
  );
  if (!axesAgree || shape.length !== value.shape.length)
    wrong.push(`the graph's ${role} has the shape [${value.shape.join(', ')}], not [${shape.join(', ')}]`);
  return wrong;
}
