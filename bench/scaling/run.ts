/** `npm run bench:scaling`: writes bench/scaling.json, from which `npm run generate:docs` makes the tables of docs/scaling.md. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import * as z from 'zod';

import { runCommand } from '../../demo/command.js';
import { checkOptions, parseArguments, wholeOption } from '../../src/terminal/command-line.js';
import { measureUntilSignal } from '../command.js';
import { ROOT } from '../processes/server.js';
import { measureScaling } from './measure.js';

const FILE = path.join(ROOT, 'bench', 'scaling.json');
const USAGE = `Measures what one replica does at 8 to 77 tokens, in about two minutes.

Usage: npm run bench:scaling [-- options]

  --out FILE      the results (default bench/scaling.json)
  --seconds N     the length of each measurement, s (default 6)
  --help          this text

Example: npm run bench:scaling -- --seconds 1 --out out/scaling.json
`;

const optionsSchema = z.object({
  out: z.string().min(1).default(FILE),
  seconds: wholeOption(1, 600).prefault('6'),
});

await runCommand({
  name: 'npm run bench:scaling',
  usage: USAGE,
  readOptions: (argv) => {
    const { values } = parseArguments({
      args: [...argv],
      options: {
        out: { type: 'string' },
        seconds: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    return values.help ? undefined : checkOptions(optionsSchema, values);
  },
  execute: async ({ out, seconds }, tools) => {
    const results = await measureUntilSignal(tools, (bench) => measureScaling({ seconds, ...bench }));
    await writeFile(out, `${JSON.stringify(results, null, 2)}\n`);
    return `${out}\n`;
  },
});
