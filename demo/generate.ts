/** `npm run generate`: draws candidates of a caption, finishes those that the service keeps, and writes a picture of all. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { type CommandTools, runCommand, UsageError } from './command.js';
import { drawCandidates } from './draw-candidates.js';
import { findProbe, type ServedProbe, UnknownProbeError } from './find-probe.js';
import { findOrStartService } from './find-service.js';
import { type GenerateOptions, readGenerateOptions, USAGE } from './generate-options.js';
import { showSteps } from './progress.js';
import { drawSheet } from './sheet.js';
import { summaryText } from './summary.js';
import { CaptionError, tokenize } from './world/caption.js';
import { World } from './world/world.js';

await runCommand({
  usage: USAGE,
  readOptions: readGenerateOptions,
  execute: generate,
  inputErrors: [CaptionError, UnknownProbeError],
});

async function generate(options: GenerateOptions, tools: CommandTools): Promise<string> {
  const { progress } = tools;
  const onFailedOpen = (reason: string): void =>
    progress.print(`no scores, so everything is kept: ${reason}`);
  const world = await World.load(options.reference);
  // A mistake in the caption is reported before a service is started.
  tokenize(options.caption, world.description);
  const starting = findOrStartService(options.url, process.env, (line) => progress.print(line));
  const service = await orFailOpen(starting, onFailedOpen);
  try {
    const probe = service && (await orFailOpen(findProbe(service.url, options.model), onFailedOpen));
    if (probe) checkStep(options.step, probe);
    return await draw(options, world, probe, tools, onFailedOpen);
  } finally {
    await service?.stop();
    await world.close();
  }
}

async function draw(
  options: GenerateOptions,
  world: World,
  probe: ServedProbe | undefined,
  { progress, signal }: CommandTools,
  onFailedOpen: (reason: string) => void,
): Promise<string> {
  const startedAt = performance.now();
  const onStep = showSteps(progress);
  const candidates = await drawCandidates({ ...options, world, probe, signal, onStep, onFailedOpen });
  const seconds = (performance.now() - startedAt) / 1000;
  const { caption, step, all, out } = options;
  const { image, steps: totalSteps } = world.description;
  await mkdir(path.dirname(out), { recursive: true });
  await writeFile(out, drawSheet(candidates, { caption, step, totalSteps, side: image[2] }));
  return `${summaryText(candidates, { step, totalSteps, all, seconds, out })}\n`;
}

/** Undefined when the attempt fails, because images do not wait for a broken service. An unknown probe is an error. */
async function orFailOpen<Value>(
  attempt: Promise<Value>,
  onFailedOpen: (reason: string) => void,
): Promise<Value | undefined> {
  try {
    return await attempt;
  } catch (error) {
    if (error instanceof UnknownProbeError) throw error;
    onFailedOpen(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

function checkStep(step: number, { reference, contract }: ServedProbe): void {
  const known = contract.decision_points.map((point) => point.step);
  if (known.includes(step)) return;
  throw new UsageError(`--step ${step}: the probe ${reference} knows steps ${known.join(', ')}`);
}
