/** Measures how the memory of a fresh service grows over many requests. */
import { setTimeout as delay } from 'node:timers/promises';

import { type BenchContext, measureLoad, type MeasuredServer } from '../measure.js';
import { residentBytes } from '../machine.js';
import { median } from '../statistics.js';

const CONNECTIONS = 16;
const READINGS = 5;
const READING_PAUSE_MS = 200;

export interface MemoryReading {
  readonly requests: number;
  /** Resident memory after the requests. */
  readonly bytes: number;
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
    readings.push({ requests, bytes: await settledBytes(fresh.server.pid) });
  }
  return readings;
}

/** The median of a few readings without load. */
async function settledBytes(pid: number): Promise<number> {
  const readings: number[] = [];
  for (let reading = 0; reading < READINGS; reading += 1) {
    await delay(READING_PAUSE_MS);
    readings.push(residentBytes(pid));
  }
  return median(readings);
}
