/** `npm run bench:clients`: calls per second of the client and of raw `fetch`, in turns. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import * as z from 'zod';

import { runCommand } from '../../demo/command.js';
import { markdownTable } from '../../scripts/docs/markdown.js';
import { checkOptions, parseArguments, wholeOption } from '../../src/terminal/command-line.js';
import { measureUntilSignal } from '../command.js';
import { ROOT, startService } from '../processes/server.js';
import { median } from '../statistics.js';
import { type Caller, startCallers } from './callers.js';

const FILE = path.join(ROOT, 'examples', 'kept.safetensors');
const USAGE = `Compares the calls per second of the TypeScript client with those of raw fetch, for lone samples at the service.

Usage: npm run bench:clients [-- options]

  --rounds N        how often each caller has its turn (default 9)
  --seconds N       the length of a turn, s (default 2)
  --connections N   calls at the same time (default 1)
  --help            this text

The callers take turns, because the speed of a machine changes. A ratio is the median of those of the rounds.

Example: npm run bench:clients -- --connections 16
`;

const optionsSchema = z.object({
  rounds: wholeOption(1, 1000).prefault('9'),
  seconds: wholeOption(1, 600).prefault('2'),
  connections: wholeOption(1, 1000).prefault('1'),
});

type Options = z.output<typeof optionsSchema>;

await runCommand<Options>({
  name: 'npm run bench:clients',
  usage: USAGE,
  readOptions: (argv) => {
    const { values } = parseArguments({
      args: [...argv],
      options: {
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        connections: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    return values.help ? undefined : checkOptions(optionsSchema, values);
  },
  execute: (options, tools) =>
    measureUntilSignal(tools, async ({ environment, onProgress, cleanup }) => {
      onProgress('starting the service');
      const { url } = await cleanup.keep(startService(environment));
      const callers = startCallers(url, readFileSync(FILE));
      const rates = new Map(callers.map(({ name }) => [name, [] as number[]]));
      // The first round warms up.
      for (let round = 0; round <= options.rounds; round += 1)
        for (const caller of callers) {
          onProgress(`round ${round} of ${options.rounds}: ${caller.name}`);
          const rate = await callsPerSecond(caller, options);
          if (round > 0) rates.get(caller.name)?.push(rate);
        }
      await Promise.all(callers.map(({ close }) => close()));
      return report([...rates]);
    }),
});

async function callsPerSecond({ call }: Caller, { seconds, connections }: Options): Promise<number> {
  const startedAt = performance.now();
  const elapsed = (): number => (performance.now() - startedAt) / 1000;
  let calls = 0;
  const repeat = async (): Promise<void> => {
    while (elapsed() < seconds) {
      await call();
      calls += 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, repeat));
  return calls / elapsed();
}

function report(rates: readonly (readonly [string, readonly number[]])[]): string {
  const [[, raw] = ['', []]] = rates;
  const rows = rates.map(([name, own]) => {
    const ratio = median(own.map((rate, round) => rate / (raw[round] ?? NaN)));
    return { name, callsPerSecond: median(own), ratio };
  });
  const cells = rows.map((row) => [row.name, row.callsPerSecond.toFixed(0), row.ratio.toFixed(3)]);
  const table = markdownTable(['caller', 'calls/s', 'to raw fetch'], cells);
  return `${table}\n${JSON.stringify(rows)}\n`;
}
