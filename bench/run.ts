/** Owns `npm run bench`: its process, its signals, and what is printed. */
import { readArguments, USAGE } from './arguments.js';
import { benchmark } from './benchmark.js';
import { FULL_PLAN, QUICK_PLAN } from './plan.js';
import { Cleanup } from './processes/cleanup.js';
import { showProgress } from './progress.js';
import { reportText } from './report/report.js';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

const wanted = argumentsOrExit();
const progress = showProgress(process.stderr);
const cleanup = new Cleanup();
const interrupted = new Promise<never>((_, reject) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => reject(new Error(`interrupted by ${signal}`)));
});

try {
  const results = await Promise.race([
    benchmark({
      plan: wanted.isQuick ? QUICK_PLAN : FULL_PLAN,
      environment: { ...process.env, ORT_DISABLE_TELEMETRY: '1' },
      tell: (line) => progress.tell(line),
      cleanup,
    }),
    interrupted,
  ]);
  progress.end();
  process.stdout.write(`${reportText(results)}\n`);
} catch (error) {
  progress.end();
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = EXIT_FAILURE;
} finally {
  await cleanup.run();
}

function argumentsOrExit() {
  try {
    const values = readArguments(process.argv.slice(2));
    if (values) return values;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`);
    process.exit(EXIT_USAGE);
  }
  process.stdout.write(USAGE);
  process.exit();
}
