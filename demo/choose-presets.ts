/** `npm run choose:presets`: chooses the presets of the page among test captions, and writes demo/page/presets.json. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import * as z from 'zod';

import { ProbeClient } from '../clients/typescript/src/node.js';
import {
  checkOptions,
  DEFAULT_URL,
  parseArguments,
  urlOption,
  wholeOption,
} from '../src/terminal/command-line.js';
import { type CommandTools, runCommand } from './command.js';
import { finishDropped } from './drawing/draw-group.js';
import { drawByPlan, failureText } from './drawing/draw-plan.js';
import { planWords } from './drawing/drawing-plan.js';
import { findProbe, type ServedProbe } from './drawing/find-probe.js';
import { createGroup } from './drawing/group.js';
import { findOrStartService } from './find-service.js';
import { compare } from './page/app/account.js';
import { nearestChoice, type PlanChoice, planChoices } from './page/plan-choices.js';
import { loadWorld } from './world/node/load-world.js';
import type { World } from './world/world.js';

const OUT = 'demo/page/presets.json';
const BUDGET = 3;
const DEADLINE_MS = 20_000;
const USAGE = `Chooses the presets of the page by a rule, which the file states: draws test captions by the plan for ${BUDGET} images, finishes
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
    const choice = nearestChoice(planChoices(probe, world.description.steps), BUDGET)!;
    for (const caption of await testCaptions(options, probe)) {
      tried.push(await tryCaption(world, probe, choice, caption, signal));
      progress.show(`${tried.length} of ${options.captions} captions`);
    }
    const file = { rule: ruleText(options.captions, probe, choice), presets: chooseAmong(tried) };
    await writeFile(OUT, `${JSON.stringify(file, null, 2)}\n`);
  } finally {
    await service.stop();
    await world.close();
  }
  return `${OUT} is written; \`npm run build:page\` builds it in\n`;
}

async function testCaptions({ captions, models }: Options, { reference }: ServedProbe): Promise<string[]> {
  const [name = '', version = ''] = reference.split('@');
  const file = path.join(models, name, version, 'test-scores.json');
  const { captions: all } = JSON.parse(await readFile(file, 'utf8')) as { captions: string[] };
  return all.slice(0, captions);
}

/** @throws {Error} when the service does not answer. */
async function tryCaption(
  world: World,
  probe: ServedProbe,
  { plan, budget }: PlanChoice,
  caption: string,
  signal: AbortSignal,
): Promise<Tried> {
  const group = await createGroup(
    world,
    caption,
    Array.from({ length: plan.seeds }, (_, seed) => seed),
  );
  const fail = (reason: string): never => {
    throw new Error(`nothing was scored: ${reason}`);
  };
  const problems: string[] = [];
  const client = new ProbeClient(probe.url, {
    deadlineMs: DEADLINE_MS,
    onProblem: (failure) => problems.push(failureText(failure)),
  });
  try {
    const scorer = { probe, client };
    const { samples } = await drawByPlan(group, { plan, scorer, signal, onFailedOpen: fail });
    if (problems[0] !== undefined) fail(problems[0]);
    const all = await finishDropped(group, samples, { signal });
    const qualities = all.map(({ quality }) => quality!);
    const best = Math.max(...samples.flatMap(({ quality }) => quality ?? []));
    const { random, bestOfK } = compare(qualities, budget);
    return { caption, gain: best - bestOfK, mean: random };
  } finally {
    await client.close();
  }
}

function chooseAmong(tried: readonly Tried[]) {
  const byGain = tried.toSorted((left, right) => right.gain - left.gain);
  const [win, failure] = [byGain[0]!, byGain.at(-1)!];
  const median = byGain[Math.floor(byGain.length / 2)]!;
  const others = byGain.filter((one) => ![win, median, failure].includes(one));
  const hard = others.reduce((left, right) => (right.mean < left.mean ? right : left));
  return [
    { name: 'A clear win', caption: win.caption, firstSeed: 0 },
    { name: 'The median', caption: median.caption, firstSeed: 0 },
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
