/** Reads the options of a command. A mistake is one sentence. */
import { parseArgs, type ParseArgsConfig } from 'node:util';

import * as z from 'zod';

export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;
export const DEFAULT_URL = 'http://127.0.0.1:8080';

/** The first sentence of a message of parseArgs(): the others explain the syntax. */
const FIRST_SENTENCE = /^.*?(?=\.?$|\. |\.?\n)/;

/** Mistakes on the command line, one per line of the message. */
export class UsageError extends Error {}

/**
 * Node's parseArgs().
 * @throws {UsageError} where that throws.
 */
export function parseArguments<Config extends ParseArgsConfig>(
  config: Config,
): ReturnType<typeof parseArgs<Config>> {
  try {
    return parseArgs(config);
  } catch (error) {
    const [mistake] = FIRST_SENTENCE.exec(error instanceof Error ? error.message : String(error)) ?? [];
    throw new UsageError(mistake ?? 'the options cannot be read', { cause: error });
  }
}

/**
 * The values of options by a schema whose messages continue the option's name, such as `must be at least 1`.
 * @throws {UsageError} with all mistakes.
 */
export function checkOptions<Options>(schema: z.ZodType<Options>, values: object): Options {
  const parsed = schema.safeParse(values);
  if (parsed.success) return parsed.data;
  throw new UsageError(parsed.error.issues.map(mistakeText).join('\n'));
}

/** The mistakes, and the command that lists the options. */
export function usageText({ message }: UsageError, helpCommand: string): string {
  return `${message} (${helpCommand} lists the options)\n`;
}

export function wholeOption(min: number, max: number) {
  return z
    .string()
    .regex(/^\d+$/, `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .pipe(z.int().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`));
}

/** The address of a service. */
export function urlOption() {
  return z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).default(DEFAULT_URL);
}

function mistakeText({ path: [option, ...inner], message }: z.core.$ZodIssue): string {
  return `--${String(option)} ${inner.length > 0 ? `${inner.join('.')}: ` : ''}${message}`;
}
