/** What the commands of demo/ and bench/ share: reading arguments, signals, progress and exit codes. */
import { parseArgs, type ParseArgsConfig } from 'node:util';

import { Progress } from './progress.js';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

/** Mistakes on the command line, one per line of the message. */
export class UsageError extends Error {}

export interface CommandTools {
  readonly progress: Progress;
  /** Aborts on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

export interface Command<Options> {
  readonly usage: string;
  /**
   * @returns undefined when the user asks for help.
   * @throws {UsageError}
   */
  readonly readOptions: (argv: readonly string[]) => Options | undefined;
  /** @returns the text for standard output. */
  readonly execute: (options: Options, tools: CommandTools) => Promise<string>;
  /** Further classes of errors that are mistakes of the user. */
  readonly inputErrors?: readonly (abstract new (...parameters: never[]) => Error)[];
}

/** Executes a command with the arguments of this process, and sets the exit code. */
export async function runCommand<Options>(command: Command<Options>): Promise<void> {
  const { usage, readOptions, execute, inputErrors = [] } = command;
  const progress = new Progress(process.stderr);
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interruption.abort());
  const { signal } = interruption;
  try {
    const options = readOptions(process.argv.slice(2));
    const text = options === undefined ? usage : await execute(options, { progress, signal });
    progress.end();
    process.stdout.write(text);
  } catch (error) {
    progress.print(signal.aborted ? 'interrupted' : error instanceof Error ? error.message : String(error));
    if (error instanceof UsageError) process.stderr.write(`\n${usage}`);
    const isMistake = [UsageError, ...inputErrors].some((Mistake) => error instanceof Mistake);
    process.exitCode = signal.aborted ? EXIT_INTERRUPTED : isMistake ? EXIT_USAGE : EXIT_FAILURE;
  }
}

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
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
