/** The command line of `npm run generate`. */
import * as z from 'zod';

import {
  checkOptions,
  DEFAULT_URL,
  parseArguments,
  urlOption,
  UsageError,
  wholeOption,
} from '../src/terminal/command-line.js';
import { keepTextSchema, MAX_SEEDS, planSchema } from './plan.js';

export const USAGE = `Draws a caption several times, asks the service early which images are worth finishing, and finishes those.

Usage: npm run generate -- CAPTION [options]

The plan: how many images to start, at which steps to ask, and how many to keep there. Give it in one of three ways:
  --budget N        the probe's plan for the cost of N whole images
  --seeds N         written out: the images to start (default 8),
  --keep COUNTS     and those to keep by step: 1=7,3=6,5=2 keeps 7 after step 1, 6 after step 3 and 2 after step 5;
                    a number alone is that of step 5 (default 2)
  --best-of N       start N and finish them all

The images:
  --all             finish the dropped images too, to see what they would have become
  --seed-base N     the first seed (default 0)
  --reference DIR   the reference world (default reference)
  --out DIR         for the images, sheet.png and selection.json (default: a folder in out, named after the caption)

The service:
  --url URL         its address; one is started where none answers (default ${DEFAULT_URL})
  --model NAME      the probe, as name or name@version (default: the one for this backbone)

  --help            this text

Example: npm run generate -- "a cat left of two keys on a blue background" --seeds 8 --keep 2
`;

/** The ways to give a plan, of which only one can be used. */
const PLAN_OPTIONS = [['budget'], ['seeds', 'keep'], ['best-of']];
const TEXT_OPTIONS = [...PLAN_OPTIONS.flat(), 'seed-base', 'url', 'model', 'reference', 'out'];

const budgetSchema = z
  .string()
  .regex(/^\d+(\.\d+)?$/, 'must be a number of whole images, such as 3 or 1.5')
  .transform(Number)
  .pipe(z.number().min(1, 'must be at least 1').max(MAX_SEEDS, `must be at most ${MAX_SEEDS}`));

const optionsSchema = z
  .object({
    budget: budgetSchema.optional(),
    seeds: wholeOption(1, MAX_SEEDS).prefault('8'),
    keep: keepTextSchema.prefault('2'),
    'best-of': wholeOption(1, MAX_SEEDS).optional(),
    all: z.boolean().default(false),
    'seed-base': wholeOption(0, 1_000_000_000).prefault('0'),
    url: urlOption(),
    model: z.string().min(1).optional(),
    reference: z.string().min(1).default('reference'),
    out: z.string().min(1).optional(),
  })
  .transform(({ budget, seeds, keep, 'best-of': bestOf, 'seed-base': seedBase, ...rest }, context) => {
    const written = planSchema.safeParse(
      bestOf === undefined ? { seeds, keep } : { seeds: bestOf, keep: {} },
    );
    if (written.success) return { ...rest, seedBase, plan: budget === undefined ? written.data : { budget } };
    for (const {
      path: [, ...inner],
      message,
    } of written.error.issues)
      context.addIssue({ code: 'custom', path: ['keep', ...inner], message });
    return z.NEVER;
  });

export type GenerateOptions = Readonly<z.output<typeof optionsSchema>> & { readonly caption: string };

/**
 * @returns undefined when the user asks for help.
 * @throws {UsageError} with all mistakes.
 */
export function readGenerateOptions(argv: readonly string[]): GenerateOptions | undefined {
  const { values, positionals } = parseArguments({
    args: [...argv],
    allowPositionals: true,
    options: {
      ...Object.fromEntries(TEXT_OPTIONS.map((name) => [name, { type: 'string' as const }])),
      all: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) return undefined;
  const [caption, ...further] = positionals;
  if (caption === undefined || further.length > 0)
    throw new UsageError(`expected one caption in quotes, got ${positionals.length} arguments`);
  const [plan, ...others] = PLAN_OPTIONS.flatMap((names) => names.find((name) => name in values) ?? []);
  if (others.length > 0)
    throw new UsageError(`give one plan: --${plan} does not go with --${others.join(' and --')}`);
  return { ...checkOptions(optionsSchema, values), caption };
}
