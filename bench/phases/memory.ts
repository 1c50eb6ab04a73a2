/** Owns what the service's memory does over many requests, in a process of its own that starts from nothing. */
import { setTimeout as delay } from 'node:timers/promises';

import { type BenchContext, measureLoad, type Rival } from '../bench-context.js';
import { residentBytes } from '../processes/usage.js';
import { median } from '../statistics.js';

const CONNECTIONS = 16;
const READINGS = 5;
const READING_PAUSE_MS = 200;

/** Resident memory after so many requests, bytes. */
export interface MemoryReading {
  readonly requests: number;
  readonly bytes: number;
}

/** Samples of one token, because the inference is not what is looked at and a hundred thousand take long. */
export async function watchMemory(context: BenchContext, fresh: Rival): Promise<MemoryReading[]> {
  const readings: MemoryReading[] = [];
  let done = 0;
  for (const requests of context.plan.memoryAfter) {
    context.tell(`memory: until request ${requests}`);
    const plan = { kind: 'closed', load: 'one_token', connections: CONNECTIONS } as const;
    const run = await measureLoad(
      context,
      fresh,
      { ...plan, until: { requests: requests - done } },
      'memory',
    );
    if (run.useful < run.sent) throw new Error(`${run.sent - run.useful} of ${run.sent} requests went wrong`);
    done = requests;
    readings.push({ requests, bytes: await settledBytes(fresh.server.pid) });
  }
  return readings;
}

/** The middle of a few readings while nothing happens. */
async function settledBytes(pid: number): Promise<number> {
  const readings: number[] = [];
  for (let reading = 0; reading < READINGS; reading += 1) {
    await delay(READING_PAUSE_MS);
    readings.push(residentBytes(pid));
  }
  return median(readings);
}
