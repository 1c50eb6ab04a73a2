/** Owns the process of `npm run generate`: its environment, signals, output and exit code. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { CaptionError, tokenize } from './world/caption.js';
import type { World } from './world/world.js';
import { type GenerateArguments, readArguments, USAGE, UsageError } from './arguments.js';
import { findProbe, NoSuchProbe, type Probe } from './probe.js';
import { showProgress } from './progress.js';
import { reportText } from './report.js';
import { type Candidate, run } from './run.js';
import { findOrStartService, type Service } from './service.js';
import { drawSheet } from './sheet.js';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

// ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its library loads.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

const interruption = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interruption.abort());

try {
  const options = readArguments(process.argv.slice(2));
  if (options) await generate(options);
  else process.stdout.write(USAGE);
} catch (error) {
  tell(interruption.signal.aborted ? 'interrupted' : messageOf(error));
  if (error instanceof UsageError) process.stderr.write(`\n${USAGE}`);
  process.exitCode = exitCodeOf(error);
}

async function generate(options: GenerateArguments): Promise<void> {
  const world = await loadWorld(options.reference);
  // A mistake in the caption should not wait for a service to start.
  tokenize(options.caption, world.description);
  const service = await unlessItFails(findOrStartService(options.url, process.env, tell));
  try {
    const probe = service && (await unlessItFails(findProbe(service.url, options.model)));
    if (probe) refuseOtherSteps(options.step, probe);
    await draw(options, world, probe);
  } finally {
    await end(service, world);
  }
}

async function loadWorld(folder: string): Promise<World> {
  // Only now, when the environment is set.
  const { World: Loaded } = await import('./world/world.js');
  return Loaded.load(folder);
}

async function draw(options: GenerateArguments, world: World, probe: Probe | undefined): Promise<void> {
  const startedAt = performance.now();
  const candidates = await run({
    world,
    probe,
    arguments: options,
    signal: interruption.signal,
    onStep: showProgress(process.stderr),
    onFailedOpen: tellFailedOpen,
  });
  const seconds = (performance.now() - startedAt) / 1000;
  await writeSheet(options, candidates, world);
  const { step, all, out } = options;
  const facts = { step, totalSteps: world.description.steps, all, seconds, out };
  process.stdout.write(`${reportText(candidates, facts)}\n`);
}

/** Images do not wait for a service that fails: undefined then, and the reason is told. A wrong name is no failure. */
async function unlessItFails<Value>(attempt: Promise<Value>): Promise<Value | undefined> {
  try {
    return await attempt;
  } catch (error) {
    if (error instanceof NoSuchProbe) throw error;
    tellFailedOpen(messageOf(error));
    return undefined;
  }
}

function refuseOtherSteps(step: number, { reference, contract }: Probe): void {
  const known = contract.decision_points.map((point) => point.step);
  if (known.includes(step)) return;
  throw new UsageError(`--step ${step}: the probe ${reference} knows steps ${known.join(', ')}`);
}

async function writeSheet(
  { caption, step, out }: GenerateArguments,
  candidates: readonly Candidate[],
  { description }: World,
): Promise<void> {
  const [, , side] = description.image;
  const sheet = drawSheet(candidates, { caption, step, totalSteps: description.steps, side });
  await mkdir(path.dirname(out), { recursive: true });
  await writeFile(out, sheet);
}

async function end(service: Service | undefined, world: World): Promise<void> {
  await service?.stop();
  await world.close();
}

function tellFailedOpen(reason: string): void {
  tell(`no scores, so everything is kept: ${reason}`);
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function exitCodeOf(error: unknown): number {
  if (interruption.signal.aborted) return EXIT_INTERRUPTED;
  const isUsage = [UsageError, CaptionError, NoSuchProbe].some((Mistake) => error instanceof Mistake);
  return isUsage ? EXIT_USAGE : EXIT_FAILURE;
}
