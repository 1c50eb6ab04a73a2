/** `npm run choose:presets`: chooses the presets of the page among test captions, and writes demo/page/presets.json. */
import * as z from 'zod';

import {
  checkOptions,
  DEFAULT_URL,
  parseArguments,
  urlOption,
  wholeOption,
} from '../src/terminal/command-line.js';
import { type CommandTools, runCommand } from './command.js';
import { drawWholeGroup } from './draw-whole-group.js';
import { planWords } from './drawing/drawing-plan.js';
import { findProbe, type ServedProbe } from './drawing/find-probe.js';
import { findOrStartService } from './find-service.js';
import { compare } from './page/app/account.js';
import { type PlanChoice, planChoices } from './page/plan-choices.js';
import { MEDIAN, PRESET_BUDGET, presetPlan, type Presets, PRESETS_FILE, writePresets } from './presets.js';
import { readTestScores } from './test-scores.js';
import { loadWorld } from './world/node/load-world.js';
import type { World } from './world/world.js';

const USAGE = `Chooses the presets of the page by a rule, which the file states: draws test captions by the plan for ${PRESET_BUDGET} images, finishes
what was dropped too, and takes those with the largest, the median and the smallest gain, and the one with the lowest qualities.

Usage: npm run choose:presets [-- options]

  --captions N      how many test captions, in the order of the file (default 24)
  --url URL         the service; one is started where none answers (default ${DEFAULT_URL})
  --reference DIR   the reference world (default reference)
  --models DIR      the model repository, for the test captions of the probe (default models)

  --help            this text

Example: npm run choose:presets -- --captions 40
`;

const optionsSchema = z.object({
  captions: wholeOption(4, 1000).prefault('24'),
  url: urlOption(),
  reference: z.string().min(1).default('reference'),
  models: z.string().min(1).default('models'),
});

type Options = z.output<typeof optionsSchema>;

/** What a caption's group came to. */
interface Tried {
  readonly caption: string;
  /** The best of the kept, less the expected best of as many random images as were paid for. */
  readonly gain: number;
  /** The mean quality of all images. */
  readonly mean: number;
}

await runCommand({ name: 'npm run choose:presets', usage: USAGE, readOptions, execute: choosePresets });

function readOptions(argv: readonly string[]): Options | undefined {
  const text = { type: 'string' } as const;
  const { values } = parseArguments({
    args: [...argv],
    options: {
      captions: text,
      url: text,
      reference: text,
      models: text,
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  return values.help ? undefined : checkOptions(optionsSchema, values);
}

async function choosePresets(options: Options, { progress, signal }: CommandTools): Promise<string> {
  const world = await loadWorld(options.reference);
  const service = await findOrStartService(options.url, process.env, (line) => progress.print(line));
  const tried: Tried[] = [];
  try {
    const probe = await findProbe(service.url, undefined);
    const choice = presetPlan(planChoices(probe, world.description.steps));
    const test = await readTestScores(options.models, probe.reference);
    for (const caption of test.captions.slice(0, options.captions)) {
      tried.push(await tryCaption(world, probe, choice, caption, signal));
      progress.show(`${tried.length} of ${options.captions} captions`);
    }
    await writePresets({
      rule: ruleText(options.captions, probe, choice),
      probe: probe.reference,
      plan: planWords(choice.plan),
      presets: chooseAmong(tried),
    });
  } finally {
    await service.stop();
    await world.close();
  }
  return `${PRESETS_FILE} is written; \`npm run build:page\` builds it in\n`;
}

/** @throws {Error} when the service does not answer. */
async function tryCaption(
  world: World,
  probe: ServedProbe,
  { plan, budget }: PlanChoice,
  caption: string,
  signal: AbortSignal,
): Promise<Tried> {
  const { samples } = await drawWholeGroup(world, probe, { caption, plan, firstSeed: 0 }, { signal });
  const qualityOf = (some: typeof samples): number[] => some.map(({ quality }) => quality!);
  const best = Math.max(...qualityOf(samples.filter(({ droppedAt }) => droppedAt === null)));
  const { random, bestOfK } = compare(qualityOf(samples), budget);
  return { caption, gain: best - bestOfK, mean: random };
}

function chooseAmong(tried: readonly Tried[]): Presets['presets'] {
  const byGain = tried.toSorted((left, right) => right.gain - left.gain);
  const [win, failure] = [byGain[0]!, byGain.at(-1)!];
  const median = byGain[Math.floor(byGain.length / 2)]!;
  const others = byGain.filter((one) => ![win, median, failure].includes(one));
  const hard = others.reduce((left, right) => (right.mean < left.mean ? right : left));
  return [
    { name: 'A clear win', caption: win.caption, firstSeed: 0 },
    { name: MEDIAN, caption: median.caption, firstSeed: 0 },
    { name: 'A hard one', caption: hard.caption, firstSeed: 0 },
    { name: 'A failure', caption: failure.caption, firstSeed: 0 },
  ];
}

function ruleText(captions: number, { reference }: ServedProbe, { plan }: PlanChoice): string {
  return (
    `The first ${captions} test captions of ${reference} were drawn from seed 0 by the plan "${planWords(plan)}". The gain is the quality of ` +
    'the best image that was kept, less the expected best of as many random images as the plan pays for. A clear win has the largest gain, the ' +
    'median the median one, a failure the smallest; the hard one has the lowest mean quality of the others.'
  );
}
