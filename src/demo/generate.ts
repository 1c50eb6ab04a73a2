/** Owns the process of `npm run generate`: its arguments, its output and its exit code. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { CaptionError, tokenize } from '../reference/caption.js';
import { World } from '../reference/world.js';
import { type GenerateArguments, readArguments, USAGE, UsageError } from './arguments.js';
import { reportText } from './report.js';
import { type Candidate, run } from './run.js';
import { fetchContract, findOrStartService } from './service.js';
import { drawSheet } from './sheet.js';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

// ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its first session.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

try {
  const options = readArguments(process.argv.slice(2));
  if (options) await generate(options);
  else process.stdout.write(USAGE);
} catch (error) {
  const isUsage = error instanceof UsageError || error instanceof CaptionError;
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  if (error instanceof UsageError) process.stderr.write(`\n${USAGE}`);
  process.exitCode = isUsage ? EXIT_USAGE : EXIT_FAILURE;
}

async function generate(options: GenerateArguments): Promise<void> {
  const world = await World.load(options.reference);
  // A mistake in the caption should not wait for a service to start.
  tokenize(options.caption, world.description);
  const service = await findOrStartService(options.url, process.env, tell);
  try {
    const contract = await fetchContract(service.url, options.model);
    refuseOtherSteps(
      options.step,
      contract.decision_points.map(({ step }) => step),
    );
    const startedAt = performance.now();
    const candidates = await run({
      world,
      url: service.url,
      contract,
      arguments: options,
      onStep: showProgress,
      onFailedOpen: (reason) => tell(`the service gave no scores (${reason}): everything is kept`),
    });
    const seconds = (performance.now() - startedAt) / 1000;
    await writeSheet(options, candidates, world);
    const { step, all, out } = options;
    const facts = { step, totalSteps: world.description.steps, all, seconds, out };
    process.stdout.write(`${reportText(candidates.map(toRow), facts)}\n`);
  } finally {
    await service.stop();
    await world.close();
  }
}

function refuseOtherSteps(step: number, known: readonly number[]): void {
  if (!known.includes(step))
    throw new UsageError(`--step ${step}: the probe knows steps ${known.join(', ')}`);
}

async function writeSheet(
  { caption, step, out }: GenerateArguments,
  candidates: readonly Candidate[],
  { description }: World,
): Promise<void> {
  const [, , side] = description.image;
  const columns = candidates.map(({ seed, decision, preview, image, score, quality }) => ({
    seed,
    kept: decision === 'keep',
    preview,
    image,
    score,
    quality,
  }));
  await mkdir(path.dirname(out), { recursive: true });
  await writeFile(out, drawSheet(columns, { caption, step, totalSteps: description.steps, side }));
}

function toRow({ seed, score, percentile, rank, decision, reason, quality }: Candidate) {
  return { seed, score, percentile, rank, decision, reason, quality };
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

function showProgress(done: number, total: number, images: number): void {
  const line = `step ${done} of ${total}, ${images} images`;
  if (process.stderr.isTTY) process.stderr.write(done === total ? '\r\u001B[K' : `\r\u001B[K${line}`);
  else if (done === 1 || done % 5 === 0) process.stderr.write(`${line}\n`);
}
