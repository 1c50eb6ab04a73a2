/** Owns the process of `npm run study:false-drop`: its environment, signals, output and exit code. */
import path from 'node:path';

import { readArguments, type StudyArguments, USAGE, UsageError } from './arguments.js';
import { studyFalseDrop, uncalibrated } from './false-drop.js';
import { type JudgedSamples, readTestScores } from './judged-samples.js';
import { progressBar } from './progress-bar.js';
import { readStudyManifest, studyPoint } from './study-point.js';
import { sampleText, textTable, uncalibratedText } from './table.js';

const SCORES_FILE = 'test-scores.json';
const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

// ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its library loads.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

const interruption = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interruption.abort());

try {
  const options = readArguments(process.argv.slice(2));
  if (options) await study(options);
  else process.stdout.write(USAGE);
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`${interruption.signal.aborted ? 'interrupted' : message}\n`);
  if (error instanceof UsageError) process.stderr.write(`\n${USAGE}`);
  process.exitCode = exitCodeOf(error);
}

async function study(options: StudyArguments): Promise<void> {
  const manifest = await readStudyManifest(options.probe);
  refuseOtherSteps(
    options.step,
    manifest.calibration.map(({ step }) => step),
    'the probe is calibrated at',
  );
  const samples =
    options.fresh === undefined ? await committed(options) : await fresh(options.fresh, options);
  const { step } = options;
  const point = studyPoint(manifest, step);
  const rows = studyFalseDrop(samples, point, options.alphas);
  const silent = uncalibrated(point, options.alphas);
  const parts = [
    sampleText(manifest, samples, step),
    textTable(rows),
    uncalibratedText(silent, point.calibration?.good_scores.length ?? 0),
    JSON.stringify(rows),
  ];
  process.stdout.write(`${parts.filter(Boolean).join('\n\n')}\n`);
}

async function committed({ probe, step }: StudyArguments): Promise<JudgedSamples> {
  const scores = await readTestScores(path.join(probe, SCORES_FILE));
  refuseOtherSteps(step, scores.steps, `${SCORES_FILE} holds`);
  return scores.at(step);
}

async function fresh(
  count: number,
  { probe: folder, reference, step, seed }: StudyArguments,
): Promise<JudgedSamples> {
  // Only now, when the environment is set.
  const [{ World }, { openProbe }, { freshSamples }] = await Promise.all([
    import('../reference/world.js'),
    import('./probe-engine.js'),
    import('./fresh-samples.js'),
  ]);
  const world = await World.load(reference);
  const probe = await openProbe(folder);
  try {
    const onProgress = progressBar(process.stderr, `${count} samples`);
    const { signal } = interruption;
    return await freshSamples({ world, probe, step, count, seed, onProgress, signal });
  } finally {
    await probe.close();
    await world.close();
  }
}

function refuseOtherSteps(step: number, known: readonly number[], who: string) {
  if (known.includes(step)) return;
  throw new UsageError(`--step ${step}: ${who} the steps ${known.join(', ')}`);
}

function exitCodeOf(error: unknown): number {
  if (interruption.signal.aborted) return EXIT_INTERRUPTED;
  return error instanceof UsageError ? EXIT_USAGE : EXIT_FAILURE;
}
