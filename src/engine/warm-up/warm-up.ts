/** The warm-up of a probe in a thread before it may serve: load, compare the graph, selftest, measure or run cold. */
import { messageOf } from '../../errors.js';
import type { ProbeFiles } from '../../probe/folder.js';
import type { Manifest } from '../../probe/manifest.js';
import { ProbeRefusedError } from '../../probe/refused.js';
import { type GraphValue, ORT_TYPES, type RunResult, type SessionInfo } from '../worker/protocol.js';
import { sliceOf, type SampleSlice, usedTokens } from '../worker/sample-slice.js';
import { RunTimeoutError, WorkerDiedError, type WorkerThread } from '../worker/worker-thread.js';
import { measureBatches, type Measurement } from './batch-plan.js';

/** The device that was set by name cannot be used, although the probe itself is sound. */
export class DeviceUnavailableError extends Error {}

/** What is loaded of a probe. */
export type ProbeContent = Pick<ProbeFiles, 'manifest' | 'model' | 'selftest'>;

/** A probe and the thread that loads it. The runs of a warm-up are cold and may take longer than others. */
export interface WarmUp {
  readonly probe: ProbeContent & { readonly key: number };
  readonly thread: WorkerThread;
  readonly runLimitMs: number;
}

/** Loads and tests a probe, and runs batches of the given samples once. Throws as loadAndTest does. */
export async function warmUpProbe(warmUp: WarmUp, sizes: readonly number[]): Promise<SessionInfo> {
  const session = await loadAndTest(warmUp);
  for (const samples of sizes) await timedRun(warmUp, samples);
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
 * @throws {DeviceUnavailableError}
 */
async function loadAndTest(warmUp: WarmUp): Promise<SessionInfo> {
  const { thread, probe } = warmUp;
  const { key, manifest, model, selftest } = probe;
  const { inputs, output } = manifest;
  const session = await thread
    .load({ key, model, inputs, output: output.name })
    .catch(refuse('model.onnx cannot be loaded'));
  const { device } = thread.settings;
  if (session.fallback !== undefined && device !== 'auto')
    throw new DeviceUnavailableError(`device ${device} cannot be used: ${session.fallback}`);
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
  const sample = sliceOf(warmUp.probe.selftest, 0, 1);
  const { ms } = await run(warmUp, Array<SampleSlice>(samples).fill(sample));
  return ms;
}

function run({ thread, probe, runLimitMs }: WarmUp, slices: readonly SampleSlice[]): Promise<RunResult> {
  return thread.run(probe.key, slices, runLimitMs).catch(refuse('selftest: the graph cannot be run'));
}

/** Puts the failure of a command into words. */
function refuse(failed: string): (cause: unknown) => never {
  return (cause) => {
    let what = failed;
    if (cause instanceof RunTimeoutError) what = 'selftest';
    if (cause instanceof WorkerDiedError) what = 'the worker thread died while loading it';
    throw new ProbeRefusedError(`${what}: ${messageOf(cause)}`, { cause });
  };
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
