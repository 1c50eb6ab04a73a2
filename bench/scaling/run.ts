/** Owns `npm run bench:scaling`: writes bench/scaling.json, from which `npm run readme` makes the tables of docs/scaling.md. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { Cleanup } from '../processes/cleanup.js';
import { ROOT } from '../processes/service.js';
import { showProgress } from '../progress.js';
import { measureScaling } from './measure.js';

const FILE = path.join(ROOT, 'bench', 'scaling.json');
const SECONDS = 6;
const EXIT_FAILURE = 1;

const { values } = parseArgs({
  options: { out: { type: 'string', default: FILE }, seconds: { type: 'string', default: String(SECONDS) } },
});
const progress = showProgress(process.stderr);
const cleanup = new Cleanup();
const interrupted = new Promise<never>((_, reject) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => reject(new Error(`interrupted by ${signal}`)));
});

try {
  const results = await Promise.race([
    measureScaling({
      seconds: Number(values.seconds),
      environment: { ...process.env, ORT_DISABLE_TELEMETRY: '1' },
      tell: (line) => progress.tell(line),
      cleanup,
    }),
    interrupted,
  ]);
  progress.end();
  await writeFile(values.out, `${JSON.stringify(results, null, 2)}\n`);
  process.stdout.write(`${values.out}\n`);
} catch (error) {
  progress.end();
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = EXIT_FAILURE;
} finally {
  await cleanup.run();
}
