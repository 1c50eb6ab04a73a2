/** Owns the frame of the benchmarks' commands: progress, a tidy end on a signal, and the exit code. */
import { Cleanup } from './processes/cleanup.js';
import { showProgress } from './progress.js';

const EXIT_FAILURE = 1;

/** What a benchmark is given by its command. */
export interface CommandTools {
  readonly environment: NodeJS.ProcessEnv;
  readonly tell: (line: string) => void;
  readonly cleanup: Cleanup;
}

/** Runs `measure` until it ends or a signal comes, stops what it has started, and writes the text that `report` makes of it. */
export async function runCommand<Results>(
  measure: (tools: CommandTools) => Promise<Results>,
  report: (results: Results) => string | Promise<string>,
): Promise<void> {
  const progress = showProgress(process.stderr);
  const cleanup = new Cleanup();
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => reject(new Error(`interrupted by ${signal}`)));
  });
  const environment = { ...process.env, ORT_DISABLE_TELEMETRY: '1' };
  try {
    const measured = measure({ environment, tell: (line) => progress.tell(line), cleanup });
    const results = await Promise.race([measured, interrupted]);
    progress.end();
    process.stdout.write(`${await report(results)}\n`);
  } catch (error) {
    progress.end();
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = EXIT_FAILURE;
  } finally {
    await cleanup.run();
  }
}
