/** `npm run bench:clients`: calls per second of the client and of raw `fetch`, in turns. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { parseArguments, runCommand, UsageError } from '../../demo/command.js';
import { markdownTable } from '../../scripts/docs/markdown.js';
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
`;

interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly connections: number;
}

await runCommand<Options>({
  usage: USAGE,
  readOptions: (argv) => {
    const { values } = parseArguments({
      args: [...argv],
      options: {
        rounds: { type: 'string', default: '9' },
        seconds: { type: 'string', default: '2' },
        connections: { type: 'string', default: '1' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) return undefined;
    return {
      rounds: positive('--rounds', values.rounds),
      seconds: positive('--seconds', values.seconds),
      connections: positive('--connections', values.connections),
    };
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

function positive(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new UsageError(`${flag}: got ${text}, expected a number above 0`);
}
