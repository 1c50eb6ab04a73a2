/** `npm run bench` */
import { runCommand } from '../demo/command.js';
import { benchmark } from './benchmark.js';
import { measureUntilSignal } from './command.js';
import { readBenchOptions, USAGE } from './options.js';
import { FULL_PLAN, QUICK_PLAN } from './plan.js';
import { reportText } from './report/report.js';

await runCommand({
  name: 'npm run bench',
  usage: USAGE,
  readOptions: readBenchOptions,
  execute: async ({ isQuick }, tools) => {
    const plan = isQuick ? QUICK_PLAN : FULL_PLAN;
    const results = await measureUntilSignal(tools, (bench) => benchmark({ plan, ...bench }));
    return `${reportText(results)}\n`;
  },
});
