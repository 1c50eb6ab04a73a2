/** Owns `npm run bench`: its arguments, and what is printed. */
import { readArguments, USAGE } from './arguments.js';
import { benchmark } from './benchmark.js';
import { runCommand } from './command.js';
import { FULL_PLAN, QUICK_PLAN } from './plan.js';
import { reportText } from './report/report.js';

const EXIT_USAGE = 2;

const wanted = argumentsOrExit();
await runCommand(
  (tools) => benchmark({ plan: wanted.isQuick ? QUICK_PLAN : FULL_PLAN, ...tools }),
  reportText,
);

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
