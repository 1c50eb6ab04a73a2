/**
 * Measures what a client with few requests gets beside another that sends three times what the service can do. The two have
 * different API keys, addresses and connections.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { type BenchContext, type LoadPlan, measureLoad } from '../measure.js';
import { CAPACITY_CONNECTIONS, FIRST_SEED } from '../plan.js';
import { startChild } from '../processes/child.js';
import { startService } from '../processes/server.js';
import { type LoadCall, type LoadResult, SAMPLES_PER_REQUEST } from '../protocol.js';
import { GENERATOR } from '../start.js';

const POLITE_PER_SECOND = 2.5;
const MIN_DEADLINE_MS = 50;
/** Of the slowest polite answer without the flood, where the machine is slow. */
const DEADLINE_FACTOR = 1.5;
const FLOOD_FACTOR = 3;
const FLOOD_MAX_OPEN = 400;
type WithoutLoad<Plan> = Plan extends unknown ? Omit<Plan, 'load'> : never;
type Loop = WithoutLoad<LoadPlan>;

const KEYS = { polite: 'p'.repeat(40), flood: 'f'.repeat(40) };

/** The polite client's answers. Those after the deadline count as useful, too: the service decides what is too late. */
export interface FairnessMeasurement {
  readonly alone: LoadResult;
  readonly besideFlood: LoadResult;
}

export async function measureFairness(context: BenchContext): Promise<FairnessMeasurement> {
  const { environment, cleanup, plan, onProgress, examplePath } = context;
  const folder = await mkdtemp(path.join(tmpdir(), 'fairness-'));
  await cleanup.keep({ stop: () => rm(folder, { recursive: true, force: true }) });
  const keyFile = path.join(folder, 'api-keys.json');
  await writeFile(keyFile, JSON.stringify({ keys: Object.entries(KEYS).map(hashed) }));
  const server = await cleanup.keep(startService({ ...environment, API_KEYS_FILE: keyFile }));
  const politeGenerator = await cleanup.keep(startChild<LoadCall>(GENERATOR, [examplePath], environment));

  const send = async (generator: BenchContext['generator'], client: keyof typeof KEYS, loop: Loop) => {
    const headers = { authorization: `Bearer ${KEYS[client]}`, ...loop.headers };
    const localAddress = client === 'flood' ? '127.0.0.2' : '127.0.0.1';
    const target = { name: 'service', target: { kind: 'service', url: server.url }, server } as const;
    return measureLoad({ generator }, target, { ...loop, load: 'group', headers, localAddress }, client);
  };
  const open = { kind: 'open', seed: FIRST_SEED } as const;
  const politely = (seconds: number, headers = {}) =>
    send(politeGenerator, 'polite', { ...open, headers, seconds, requestsPerSecond: POLITE_PER_SECOND });

  onProgress('fairness: the polite client alone');
  await politely(plan.openSeconds);
  const { latencyMs } = await politely(plan.openSeconds);
  const deadlineMs = Math.max(MIN_DEADLINE_MS, Math.ceil(DEADLINE_FACTOR * latencyMs.max));
  const headers = { 'x-deadline-ms': String(deadlineMs) };
  const alone = await politely(plan.openSeconds, headers);
  onProgress('fairness: the polite client beside the flood');
  const until = { seconds: plan.closedSeconds };
  const closed = { kind: 'closed', connections: CAPACITY_CONNECTIONS, until } as const;
  const { samplesPerSecond } = await send(context.generator, 'flood', closed);
  const flooding = send(context.generator, 'flood', {
    ...open,
    requestsPerSecond: (FLOOD_FACTOR * samplesPerSecond) / SAMPLES_PER_REQUEST.group,
    seconds: plan.floodSeconds + 1,
    maxOpen: FLOOD_MAX_OPEN,
  });
  const [besideFlood] = await Promise.all([politely(plan.floodSeconds, headers), flooding]);
  await server.stop();
  return { alone, besideFlood };
}

function hashed([id, key]: [string, string]): object {
  return { id, sha256: createHash('sha256').update(key).digest('hex') };
}
