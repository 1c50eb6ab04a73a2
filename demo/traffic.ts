/** `npm run traffic`: sends demo traffic to a service until a signal ends it. */
import { setTimeout as delay } from 'node:timers/promises';

import * as z from 'zod';

import {
  checkOptions,
  DEFAULT_URL,
  parseArguments,
  urlOption,
  wholeOption,
} from '../src/terminal/command-line.js';
import { type CommandTools, runCommand } from './command.js';
import { findProbe, type ServedProbe } from './drawing/find-probe.js';
import { sendTraffic } from './send-traffic.js';
import { loadWorld } from './world/node/load-world.js';

const RETRY_MS = 2000;
const USAGE = `Sends groups of the reference world to a service, finishes what it keeps and reports the qualities, until interrupted.

Usage: npm run traffic [-- options]

The service:
  --url URL         its address; it may start later than this command (default ${DEFAULT_URL})
  --step N          the step at which it is asked (default 5)

The images:
  --reference DIR   the reference world (default reference)

  --help            this text

Example: npm run traffic -- --url http://127.0.0.1:9000
`;

const optionsSchema = z.object({
  url: urlOption(),
  step: wholeOption(1, 1000).prefault('5'),
  reference: z.string().min(1).default('reference'),
});

await runCommand({ name: 'npm run traffic', usage: USAGE, readOptions, execute: send });

function readOptions(argv: readonly string[]) {
  const { values } = parseArguments({
    args: [...argv],
    options: {
      url: { type: 'string' },
      step: { type: 'string' },
      reference: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  return values.help ? undefined : checkOptions(optionsSchema, values);
}

/** A signal is the normal end. */
async function send(
  { url, step, reference }: NonNullable<ReturnType<typeof readOptions>>,
  { progress, signal }: CommandTools,
): Promise<string> {
  const world = await loadWorld(reference);
  try {
    await sendTraffic({
      world,
      probe: await waitForProbe(url, { progress, signal }),
      step,
      signal,
      onGroup: (caption, finished, reported) =>
        progress.print(`${caption}: ${finished} finished, ${reported} reported`),
    });
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await world.close();
  }
  return '';
}

/** Repeats until there is a probe, because the service may start later than this process. */
async function waitForProbe(url: string, { progress, signal }: CommandTools): Promise<ServedProbe> {
  for (;;) {
    try {
      return await findProbe(url, undefined);
    } catch (error) {
      progress.print(error instanceof Error ? error.message : String(error));
      await delay(RETRY_MS, undefined, { signal });
    }
  }
}
