/** `npm run bench:scaling`: writes bench/scaling.json, from which `npm run generate:docs` makes the tables of docs/scaling.md. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { parseArguments, runCommand } from '../../demo/command.js';
import { measureUntilSignal } from '../command.js';
import { ROOT } from '../processes/server.js';
import { measureScaling } from './measure.js';

const FILE = path.join(ROOT, 'bench', 'scaling.json');
const USAGE = `Measures what one replica does at 8 to 77 tokens, in about two minutes.

Usage: npm run bench:scaling [-- options]

  --out FILE      the results (default bench/scaling.json)
  --seconds N     the length of each measurement, s (default 6)
  --help          this text
`;

await runCommand({
  usage: USAGE,
  readOptions: (argv) => {
    const { values } = parseArguments({
      args: [...argv],
      options: {
        out: { type: 'string', default: FILE },
        seconds: { type: 'string', default: '6' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    return values.help ? undefined : { out: values.out, seconds: Number(values.seconds) };
  },
  execute: async ({ out, seconds }, tools) => {
    const results = await measureUntilSignal(tools, (bench) => measureScaling({ seconds, ...bench }));
    await writeFile(out, `${JSON.stringify(results, null, 2)}\n`);
    return `${out}\n`;
  },
});
