/** Owns `npm run bench:scaling`: writes bench/scaling.json, from which `npm run readme` makes the tables of docs/scaling.md. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { runCommand } from '../command.js';
import { ROOT } from '../processes/service.js';
import { measureScaling } from './measure.js';

const FILE = path.join(ROOT, 'bench', 'scaling.json');
const SECONDS = 6;

const { values } = parseArgs({
  options: { out: { type: 'string', default: FILE }, seconds: { type: 'string', default: String(SECONDS) } },
});
await runCommand(
  (tools) => measureScaling({ seconds: Number(values.seconds), ...tools }),
  async (results) => {
    await writeFile(values.out, `${JSON.stringify(results, null, 2)}\n`);
    return values.out;
  },
);
