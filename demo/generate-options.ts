/** The command line of `npm run generate`. */
import * as z from 'zod';

import { parseArguments, UsageError } from './command.js';

export const USAGE = `Draws a caption several times, asks the service early which images are worth finishing, and finishes those.

Usage: npm run generate -- "a cat left of two keys on a blue background" [options]

  --seeds N         candidates to start (default 8)
  --keep N          candidates to finish (default 2)
  --step N          the step at which the service is asked, one of the probe's decision points (default 5)
  --all             finish all of them, to see what was dropped
  --seed-base N     the first seed (default 0)
  --url URL         the service; one is started where none answers (default http://127.0.0.1:8080)
  --model NAME      the probe, as name or name@version (default: the one for this backbone)
  --reference DIR   the reference world (default reference)
  --out FILE        the picture (default out/generate.png)
  --help            this text
`;

const TEXT_OPTIONS = ['seeds', 'keep', 'step', 'seed-base', 'url', 'model', 'reference', 'out'];

const wholeFrom = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d+$/, `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .pipe(z.int().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`));

const optionsSchema = z
  .object({
    seeds: wholeFrom(1, 64).prefault('8'),
    keep: wholeFrom(1, 64).prefault('2'),
    step: wholeFrom(1, 1000).prefault('5'),
    all: z.boolean().default(false),
    'seed-base': wholeFrom(0, 1_000_000_000).prefault('0'),
    url: z
      .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
      .default('http://127.0.0.1:8080'),
    model: z.string().min(1).optional(),
    reference: z.string().min(1).default('reference'),
    out: z.string().min(1).default('out/generate.png'),
  })
  .refine(({ keep, seeds }) => keep <= seeds, { path: ['keep'], error: 'must not exceed --seeds' })
  .transform(({ 'seed-base': seedBase, ...rest }) => ({ seedBase, ...rest }));

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
  const { data, error } = optionsSchema.safeParse(values);
  if (error)
    throw new UsageError(
      error.issues.map(({ path, message }) => `--${path.join('.')} ${message}`).join('\n'),
    );
  return { ...data, caption };
}
