/** `npm run docs:terminal`: starts the service on a terminal and draws what it shows, docs/terminal.png. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';

import * as z from 'zod';

import { checkOptions, parseArguments } from '../src/terminal/command-line.js';
import { type CommandTools, runCommand } from './command.js';
import { drawTerminal } from './pictures/terminal.js';

const COLUMNS = 100;
/** What \`npm start\` shows last: what to try. */
const END = /^ +Try .*$/m;
const CTRL_C = '\u0003';
const USAGE = `Starts the service by \`npm start\` on a terminal of ${COLUMNS} columns, and draws what it shows until it is ready. The port of the service
must be free (PORT, 8080 by default). Needs script(1) of util-linux.

Usage: npm run docs:terminal [-- options]

  --out FILE        the picture (default docs/terminal.png)

  --help            this text

Example: npm run docs:terminal -- --out terminal.png
`;

const optionsSchema = z.object({ out: z.string().min(1).default('docs/terminal.png') });
type Options = z.output<typeof optionsSchema>;

await runCommand({ name: 'npm run docs:terminal', usage: USAGE, readOptions, execute: draw });

function readOptions(argv: readonly string[]): Options | undefined {
  const { values } = parseArguments({
    args: [...argv],
    options: { out: { type: 'string' }, help: { type: 'boolean', short: 'h', default: false } },
  });
  return values.help ? undefined : checkOptions(optionsSchema, values);
}

async function draw({ out }: Options, { signal }: CommandTools): Promise<string> {
  await writeFile(out, await drawTerminal(`$ npm start\r\n${await outputOfStart(signal)}`, COLUMNS));
  return `${out} is written\n`;
}

/** @throws {Error} with the output when the service ends before it is ready. */
async function outputOfStart(signal: AbortSignal): Promise<string> {
  // npm is told to show no spinner, whose frames depend on the time.
  const program = `stty cols ${COLUMNS} && exec npm start --no-progress`;
  // Without the settings of the npm that runs this command, such as that it is silent.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')));
  const child = spawn('script', ['-qefc', program, '/dev/null'], { signal, env });
  let output = '';
  let shown: string | undefined;
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
    const end = END.exec(output);
    if (shown !== undefined || end === null) return;
    shown = output.slice(0, end.index + end[0].length);
    child.stdin.write(CTRL_C);
  });
  await once(child, 'close');
  if (shown === undefined) throw new Error(`npm start ended early:\n${output}`);
  return shown;
}
