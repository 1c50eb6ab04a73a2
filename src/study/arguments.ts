/** Owns the command line of `npm run study:false-drop`. */
import { parseArgs } from 'node:util';

import * as z from 'zod';

export const USAGE = `Compares the false-drop rate that the policy max_false_drop allows with the one that it realises.

Usage: npm run study:false-drop [-- options]

Without --fresh, the scores of the test captions beside the probe are used, which takes seconds.
The last line of the output is JSON: per alpha, the false-drop rate with its interval (95%, by resampling captions),
the share of samples dropped, the share of denoising steps saved, and the mean quality of what is kept, beside the one
after dropping as many by chance.

  --step N          the step at which is decided, one of the probe's decision points (default 5)
  --alphas LIST     the false-drop rates to allow, separated by commas (default 0.01,0.02,0.05,0.1,0.2)
  --fresh N         draw N new samples of captions that nobody has trained on, and ask the probe about them
  --seed TEXT       which new samples these are (default 0)
  --probe DIR       the probe (default models/pictogram/1)
  --reference DIR   the reference world, for --fresh (default reference)
  --help            this text
`;

/** Mistakes on the command line, one per line. */
export class UsageError extends Error {}

const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d+$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`));

const alphas = z
  .string()
  .transform((text) => text.split(',').map((part) => (part.trim() === '' ? NaN : Number(part))))
  .refine((values) => values.every((value) => value > 0 && value < 1), 'must be numbers between 0 and 1');

const argumentsSchema = z.object({
  step: whole(1, 1000).prefault('5'),
  alphas: alphas.prefault('0.01,0.02,0.05,0.1,0.2'),
  fresh: whole(1, 1_000_000).optional(),
  seed: z.string().default('0'),
  probe: z.string().min(1).default('models/pictogram/1'),
  reference: z.string().min(1).default('reference'),
});

/** What was asked for, checked; without `fresh`, the committed scores are meant. */
export type StudyArguments = z.infer<typeof argumentsSchema>;

/**
 * Reads the command line; undefined means that help was asked for.
 * @throws {UsageError} with all mistakes.
 */
export function readArguments(argv: readonly string[]): StudyArguments | undefined {
  const values = parsed(argv);
  if (values.help) return undefined;
  const result = argumentsSchema.safeParse(values);
  if (result.success) return result.data;
  throw new UsageError(
    result.error.issues.map(({ path, message }) => `--${path.join('.')} ${message}`).join('\n'),
  );
}

function parsed(argv: readonly string[]) {
  const text = { type: 'string' } as const;
  const help = { type: 'boolean', short: 'h' } as const;
  const options = { step: text, alphas: text, fresh: text, seed: text, probe: text, reference: text, help };
  try {
    return parseArgs({ args: [...argv], options }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
