/** Owns what a probe goes through in a thread before it may serve: loaded, compared, tested, warmed up. */
import { graphMismatches } from './graph-contract.js';
import type { ProbeFiles } from './probe-folder.js';
import type { BatchPart, LoadReply, PartResult } from './protocol.js';
import { Refusal, reasonOf } from './refusal.js';
import { copyPart } from './slice-samples.js';
import { type EngineThread, OrderFailed, ThreadDied } from './thread.js';

/** A probe under the key by which the threads know it. */
export interface KeyedProbe {
  readonly key: number;
  readonly files: ProbeFiles;
}

/**
 * Loads a probe into one thread and proves that it works there. What fails is unloaded again.
 * @param maxBatchSamples batches of 1, 2, 4 ... up to this many samples are run, so that no request pays for a first run.
 * @throws {Refusal} when the probe is at fault.
 * @throws {OrderFailed} with isDevice when the device is; {ThreadDied} when the thread did not survive it.
 */
export async function prepareProbe(
  thread: EngineThread,
  probe: KeyedProbe,
  maxBatchSamples: number,
): Promise<LoadReply> {
  const about = await load(thread, probe);
  try {
    refuseMismatches(about, probe);
    await selftest(thread, probe);
    await warmUp(thread, probe, maxBatchSamples);
  } catch (error) {
    if (!(error instanceof ThreadDied)) await thread.unload(probe.key);
    throw error;
  }
  return about;
}

async function load(thread: EngineThread, { key, files }: KeyedProbe): Promise<LoadReply> {
  const { manifest, model } = files;
  try {
    return await thread.load({ key, model, inputs: manifest.inputs, output: manifest.output.name });
  } catch (error) {
    if (error instanceof OrderFailed && !error.isDevice) {
      throw new Refusal(`model.onnx cannot be loaded: ${error.message}`, { cause: error });
    }
    throw error;
  }
}

function refuseMismatches({ inputs, outputs }: LoadReply, { files }: KeyedProbe): void {
  const mismatches = graphMismatches(files.manifest, inputs, outputs);
  if (mismatches.length > 0)
    throw new Refusal(`model.onnx is not as probe.json says: ${mismatches.join('; ')}`);
}

async function selftest(thread: EngineThread, { key, files }: KeyedProbe): Promise<void> {
  const { scores: expected, tolerance } = files.manifest.selftest;
  const scores = await scoresOf(thread, key, copyPart(files.selftest, 0, expected.length));
  for (const [sample, score] of scores.entries()) {
    const wanted = expected[sample] ?? NaN;
    if (!(Math.abs(score - wanted) <= tolerance)) {
      throw new Refusal(`selftest: sample ${sample} scored ${score}, not ${wanted} ± ${tolerance}`);
    }
  }
}

async function scoresOf(thread: EngineThread, key: number, part: BatchPart): Promise<Float32Array> {
  const [result] = await runTest(thread, key, [part]);
  if (result && 'scores' in result) return result.scores;
  const reason = result ? result.fault.detail : 'no result';
  throw new Refusal(`selftest: ${reason}`);
}

async function warmUp(
  thread: EngineThread,
  { key, files }: KeyedProbe,
  maxBatchSamples: number,
): Promise<void> {
  for (let samples = 1; samples < maxBatchSamples; samples *= 2)
    await runTest(thread, key, repeated(files, samples));
  await runTest(thread, key, repeated(files, maxBatchSamples));
}

/** The selftest's first sample as a batch of its copies. */
function repeated({ selftest: body }: ProbeFiles, samples: number): BatchPart[] {
  return Array.from({ length: samples }, () => copyPart(body, 0, 1));
}

async function runTest(
  thread: EngineThread,
  key: number,
  parts: readonly BatchPart[],
): Promise<readonly PartResult[]> {
  try {
    const { results } = await thread.run(key, parts);
    return results;
  } catch (error) {
    if (error instanceof ThreadDied) throw error;
    throw new Refusal(`selftest: the graph cannot be run: ${reasonOf(error)}`, { cause: error });
  }
}
