/** What the commands of demo/ and bench/ share: signals, a closed output, progress and exit codes. */
import { EXIT_FAILURE, EXIT_USAGE, UsageError, usageText } from '../src/terminal/command-line.js';
import { Progress } from '../src/terminal/progress.js';

const EXIT_INTERRUPTED = 130;

export interface CommandTools {
  readonly progress: Progress;
  /** Aborts on SIGINT and SIGTERM, and when the reader of an output has gone. */
  readonly signal: AbortSignal;
}

export interface Command<Options> {
  /** How the command is called, without options. */
  readonly name: string;
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
  const { name, usage, readOptions, execute, inputErrors = [] } = command;
  const progress = new Progress(process.stderr);
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interruption.abort());
  // Such as `head`, which ends before the command. Unhandled, the error would end this process without its cleanup.
  for (const output of [process.stdout, process.stderr]) output.on('error', () => interruption.abort());
  const { signal } = interruption;
  try {
    const options = readOptions(process.argv.slice(2));
    const text = options === undefined ? usage : await execute(options, { progress, signal });
    progress.end();
    process.stdout.write(text);
  } catch (error) {
    progress.end();
    const isUsage = error instanceof UsageError;
    const isMistake = isUsage || inputErrors.some((Mistake) => error instanceof Mistake);
    process.exitCode = signal.aborted ? EXIT_INTERRUPTED : isMistake ? EXIT_USAGE : EXIT_FAILURE;
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(
      signal.aborted ? 'interrupted\n' : isUsage ? usageText(error, `${name} -- --help`) : `${message}\n`,
    );
  }
}
