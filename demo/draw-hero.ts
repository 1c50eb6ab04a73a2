/** `npm run docs:hero`: draws the first picture of the README, docs/hero.png. */
import { writeFile } from 'node:fs/promises';

import * as z from 'zod';

import { checkOptions, DEFAULT_URL, parseArguments, urlOption } from '../src/terminal/command-line.js';
import { type CommandTools, runCommand } from './command.js';
import { drawWholeGroup } from './draw-whole-group.js';
import { planWords } from './drawing/drawing-plan.js';
import { findProbe } from './drawing/find-probe.js';
import { findOrStartService } from './find-service.js';
import { planChoices } from './page/plan-choices.js';
import { drawHero } from './pictures/hero.js';
import { MEDIAN, PRESETS_FILE, presetPlan, readPresets } from './presets.js';
import { qualityCurve } from './quality-curve.js';
import { showSteps } from './show-steps.js';
import { readTestScores } from './test-scores.js';
import { loadWorld } from './world/node/load-world.js';

const USAGE = `Draws the first picture of the README: the caption of the preset "${MEDIAN}", drawn by the plan for which the presets were chosen, and
beside it the quality of the probe's plans on all test captions. \`npm run choose:presets\` chooses the caption.

Usage: npm run docs:hero [-- options]

  --url URL         the service; one is started where none answers (default ${DEFAULT_URL})
  --reference DIR   the reference world (default reference)
  --models DIR      the model repository, for the test scores of the probe (default models)
  --out FILE        the picture (default docs/hero.png)

  --help            this text

Example: npm run docs:hero -- --out hero.png
`;

const folder = z.string().min(1);
const optionsSchema = z.object({
  url: urlOption(),
  reference: folder.default('reference'),
  models: folder.default('models'),
  out: z.string().min(1).default('docs/hero.png'),
});

await runCommand({ name: 'npm run docs:hero', usage: USAGE, readOptions, execute: draw });

function readOptions(argv: readonly string[]): z.output<typeof optionsSchema> | undefined {
  const text = { type: 'string' } as const;
  const { values } = parseArguments({
    args: [...argv],
    options: {
      url: text,
      reference: text,
      models: text,
      out: text,
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  return values.help ? undefined : checkOptions(optionsSchema, values);
}

async function draw(
  { url, reference, models, out }: z.output<typeof optionsSchema>,
  { progress, signal }: CommandTools,
): Promise<string> {
  const world = await loadWorld(reference);
  const service = await findOrStartService(url, process.env, (line) => progress.print(line));
  try {
    const probe = await findProbe(service.url, undefined);
    const { image, steps: totalSteps } = world.description;
    const choices = planChoices(probe, totalSteps);
    const { plan } = presetPlan(choices);
    const { presets, ...chosen } = await readPresets();
    const preset = presets.find(({ name }) => name === MEDIAN);
    if (!preset || chosen.probe !== probe.reference || chosen.plan !== planWords(plan))
      throw new Error(
        `${PRESETS_FILE} is for ${chosen.probe} and the plan "${chosen.plan}"; the service has ${probe.reference} and ` +
          `"${planWords(plan)}": run npm run choose:presets first`,
      );
    const curve = qualityCurve(await readTestScores(models, probe.reference), choices, totalSteps);
    const drawing = { signal, onStep: showSteps(progress) };
    const group = await drawWholeGroup(world, probe, { ...preset, plan }, drawing);
    await writeFile(out, drawHero(preset.caption, group, curve, { totalSteps, side: image[2] }));
  } finally {
    await service.stop();
    await world.close();
  }
  return `${out} is written\n`;
}
