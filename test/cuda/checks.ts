/** The checks that need a device. Each compares with a service on the CPU, or measures. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { ROOT } from '../../bench/processes/server.js';
import { makeExample } from '../../bench/scaling/measure.js';
import { servingModel } from '../../bench/start.js';
import { median, type Spread, spreadOf } from '../../bench/statistics.js';
import { type CudaLibraries, deviceMemory, memoryScript } from './libraries.js';
import { type DeviceService, fallbackOf, refusalOf, startOn } from './service.js';

const BATCHES = [1, 2, 4, 8, 16, 32, 64];
const MAX_TOKENS = 77;
const TYPICAL_TOKENS = 16;
const LONE_REQUESTS = 50;
const CONNECTIONS = 4;
const BUSY_MS = 2000;
const SHAPES = 100;
/** Left free when all other memory of the device is taken: too little for a session with its CUDA context. */
const LEFT_MIB = 16;

/** What the checks need: the device's name as the setting DEVICE has it, and the environment of the service. */
export interface CheckContext {
  readonly device: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly libraries: CudaLibraries;
  readonly onProgress: (line: string) => void;
}

export type Results = Record<string, unknown>;

export async function checkDevice(context: CheckContext): Promise<Results> {
  const { device, environment, libraries, onProgress } = context;
  const before = deviceMemory(libraries);
  const service = await startOn(device, environment);
  const cpu = await startOn('cpu', environment);
  const { name, contract } = await servingModel(service.server.url);
  const bodyOf = (samples: number, tokens = TYPICAL_TOKENS): Uint8Array =>
    makeExample({ ...contract, name }, tokens, samples);
  try {
    onProgress('changing shapes: scores against the CPU’s');
    const shapes = await checkShapes(service, cpu, bodyOf, () => deviceMemory(libraries)?.[0]);
    onProgress('latency and throughput');
    const speeds = await measureSpeeds(service, bodyOf);
    const after = deviceMemory(libraries);
    const deviceMib = before && after ? before[0] - after[0] : null;
    onProgress('out of memory');
    const memory = before ? await checkOutOfMemory(context, service, bodyOf(64)) : {};
    onProgress('fallback and a swap under load');
    const fallback = await fallbackOf({ ...environment, CUDA_VISIBLE_DEVICES: '' });
    const swap = await checkSwap(context, bodyOf(8));
    return { device_mib: deviceMib, ...shapes, ...speeds, ...memory, fallback_says: fallback, ...swap };
  } finally {
    await Promise.all([service.server.stop(), cpu.server.stop()]);
  }
}

type MakeBody = (samples: number, tokens?: number) => Uint8Array;

/** Sends random shapes twice: the first time may be slow, the second must be fast and take no further memory. */
async function checkShapes(
  service: DeviceService,
  cpu: DeviceService,
  bodyOf: MakeBody,
  freeMib: () => number | undefined,
): Promise<Results> {
  const shapes = Array.from({ length: SHAPES }, (_, index): [number, number] => [
    1 + ((index * 37) % 64),
    1 + ((index * 29) % MAX_TOKENS),
  ]);
  const example = await readFile(path.join(ROOT, 'examples', 'group.safetensors'));
  const bodies = [example, ...shapes.map(([samples, tokens]) => bodyOf(samples, tokens))];
  const differences: number[] = [];
  const pass = async (): Promise<{ ms: Spread; free: number | undefined }> => {
    const times: number[] = [];
    for (const body of bodies) {
      const [own, expected] = [await service.score(body), await cpu.score(body)];
      if (own.scores.length !== expected.scores.length || own.scores.length === 0)
        throw new Error(`the device answered ${own.status} ${own.outcome}`);
      differences.push(
        ...own.scores.map((score, index) => Math.abs(score - (expected.scores[index] ?? NaN))),
      );
      times.push(own.ms);
    }
    return { ms: spreadOf(times), free: freeMib() };
  };
  const first = await pass();
  const second = await pass();
  return {
    score_difference_max: Math.max(...differences),
    shapes_first_max_ms: first.ms.max,
    shapes_second_p99_ms: second.ms.p99,
    shapes_growth_mib: first.free === undefined ? null : first.free - (second.free ?? NaN),
  };
}

async function measureSpeeds(service: DeviceService, bodyOf: MakeBody): Promise<Results> {
  const latency: Record<string, number> = {};
  const throughput: Record<string, number> = {};
  for (const samples of BATCHES) {
    const body = bodyOf(samples);
    const times: number[] = [];
    for (let request = 0; request < LONE_REQUESTS; request += 1) times.push((await service.score(body)).ms);
    latency[samples] = median(times);
    const endAt = performance.now() + BUSY_MS;
    let done = 0;
    const sendAll = async (): Promise<void> => {
      while (performance.now() < endAt) done += (await service.score(body)).scores.length;
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, sendAll));
    throughput[samples] = (done * 1000) / BUSY_MS;
  }
  return { latency_ms: latency, samples_per_second: throughput };
}

/** Another process takes the device's memory: a new service must say so, and the running one must score again afterwards. */
async function checkOutOfMemory(
  { device, environment, libraries }: CheckContext,
  service: DeviceService,
  body: Uint8Array,
): Promise<Results> {
  const env = { ...process.env, LD_LIBRARY_PATH: libraries.searchPath };
  const holder = spawn(libraries.python, [memoryScript(), String(LEFT_MIB)], { env });
  const exit = once(holder, 'exit');
  await Promise.race([once(holder.stdout, 'data'), exit]);
  if (holder.exitCode !== null) throw new Error('the memory of the device could not be taken');
  const during = await service.score(body);
  const says = await refusalOf(device, environment);
  holder.stdin.end();
  await exit;
  const after = await service.score(body);
  return {
    out_of_memory_answer: `${during.status} ${during.outcome}`,
    out_of_memory_start_says: says ?? null,
    out_of_memory_recovered: after.outcome === 'scored',
  };
}

/** Adds a newer version under load. Every request must be scored on the device, at last by the new version. */
async function checkSwap({ device, environment }: CheckContext, body: Uint8Array): Promise<Results> {
  const models = await mkdtemp(path.join(tmpdir(), 'cuda-models-'));
  const first = path.join(models, 'pictogram', '2');
  await cp(path.join(ROOT, 'models', 'pictogram', '2'), first, { recursive: true });
  const service = await startOn(device, { ...environment, MODELS_DIR: models });
  const sending = new AbortController();
  let failed = 0;
  const versions = new Map<string, number>();
  const sendAll = async (): Promise<void> => {
    while (!sending.signal.aborted) {
      const { outcome, provider, version } = await service.score(body);
      if (outcome !== 'scored') failed += 1;
      const key = `${provider} ${version}`;
      versions.set(key, (versions.get(key) ?? 0) + 1);
    }
  };
  const sent = Promise.all(Array.from({ length: CONNECTIONS }, sendAll));
  const staging = path.join(models, 'staging');
  await cp(first, staging, { recursive: true });
  const manifest = JSON.parse(await readFile(path.join(staging, 'probe.json'), 'utf8')) as object;
  await writeFile(path.join(staging, 'probe.json'), JSON.stringify({ ...manifest, version: 3 }));
  await rename(staging, path.join(models, 'pictogram', '3'));
  await fetch(new URL('/models/reload', service.server.url), { method: 'POST' });
  const last = await service.score(body);
  sending.abort();
  await sent;
  await service.server.stop();
  await rm(models, { recursive: true });
  return {
    swap_failed: failed,
    swap_answers: Object.fromEntries(versions),
    swap_version: last.version,
  };
}
