/** Measures the memory of an idle service, the time of its start, and how its memory grows over many requests. */
import { setTimeout as delay } from 'node:timers/promises';

import { type BenchContext, measureLoad, type MeasuredServer } from '../measure.js';
import { nowMs, proportionalBytes, residentBytes } from '../machine.js';
import { startService } from '../processes/server.js';
import { median } from '../statistics.js';

const CONNECTIONS = 16;
const READINGS = 5;
const READING_PAUSE_MS = 200;
const POLL_MS = 5;

export interface MemoryReading {
  readonly requests: number;
  /** Resident memory after the requests. */
  readonly bytes: number;
}

export interface StartMeasurement {
  /** From the start of the process to the first 200 of /readyz; the median. */
  readonly readySeconds: number;
  /** The proportional set size of all processes a second after that; the median. */
  readonly idleBytes: number;
}

export async function measureStarts(context: BenchContext): Promise<StartMeasurement> {
  const { plan, environment, cleanup, onProgress } = context;
  const seconds: number[] = [];
  const bytes: number[] = [];
  for (let start = 1; start <= plan.rounds; start += 1) {
    onProgress(`start ${start} of ${plan.rounds}`);
    const startedAt = nowMs();
    const server = await cleanup.keep(startService(environment));
    while (!(await fetch(new URL('/readyz', server.url))).ok) await delay(POLL_MS);
    seconds.push((nowMs() - startedAt) / 1000);
    bytes.push(await settled(() => proportionalBytes(server.pid)));
    await server.stop();
  }
  return { readySeconds: median(seconds), idleBytes: median(bytes) };
}

/** Sends samples of one token, because a hundred thousand larger ones take long. */
export async function measureMemory(context: BenchContext, fresh: MeasuredServer): Promise<MemoryReading[]> {
  const readings: MemoryReading[] = [];
  let done = 0;
  for (const requests of context.plan.memoryAfter) {
    context.onProgress(`memory: until request ${requests}`);
    const plan = { kind: 'closed', load: 'one_token', connections: CONNECTIONS } as const;
    const measured = await measureLoad(
      context,
      fresh,
      { ...plan, until: { requests: requests - done } },
      'memory',
    );
    const failed = measured.sent - measured.useful;
    if (failed > 0) throw new Error(`${failed} of ${measured.sent} requests failed`);
    done = requests;
    readings.push({ requests, bytes: await settled(() => residentBytes(fresh.server.pid)) });
  }
  await fresh.server.stop();
  return readings;
}

/** The median of a few readings without load. */
async function settled(read: () => number): Promise<number> {
  const readings: number[] = [];
  for (let reading = 0; reading < READINGS; reading += 1) {
    await delay(READING_PAUSE_MS);
    readings.push(read());
  }
  return median(readings);
}
