/** Owns the course of the scaling measurement: one service, closed loops over numbers of tokens, singles and groups. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';

import { cpuSeconds, residentBytes } from '../processes/usage.js';
import type { Load, LoadTalk, Target } from '../load/protocol.js';
import { machineText, noiseWarning } from '../machine.js';
import type { Cleanup } from '../processes/cleanup.js';
import { startOrderTaker } from '../processes/orders.js';
import { startService } from '../processes/service.js';
import type { Server } from '../processes/server.js';
import { type ExampleContract, madeExample } from './made-example.js';
import type { ScalingPoint, ScalingResults } from '../../scripts/docs/scaling.js';

const GENERATOR = new URL('../load/generator.js', import.meta.url);
const TOKENS = [8, 16, 32, 48, 77];
const LOADS = ['single', 'group'] as const;
const CONNECTIONS = 16;
const MS_PER_SECOND = 1000;
const SAMPLES_IN_EXAMPLE = 8;

export interface ScalingOptions {
  /** Each closed loop, after a warm-up of half as long. */
  readonly seconds: number;
  readonly environment: NodeJS.ProcessEnv;
  readonly tell: (line: string) => void;
  readonly cleanup: Cleanup;
}

interface ServingModel {
  readonly name: string;
  readonly version: number;
  readonly state: string;
  readonly contract: ExampleContract;
  readonly batching: { best_samples: number; ms_per_padded_token: number; ms_per_run: number };
}

/** Measures the default probe of the service; what it starts is stopped by `cleanup`. */
export async function measureScaling(options: ScalingOptions): Promise<ScalingResults> {
  const { environment, cleanup, tell } = options;
  const warning = noiseWarning();
  const folder = await mkdtemp(path.join(tmpdir(), 'scaling-'));
  await cleanup.keep({ stop: () => rm(folder, { recursive: true, force: true }) });
  tell('starting the service');
  const server = await cleanup.keep(startService(environment));
  const { name, version, contract, batching } = await servingModel(server.url);
  const points: ScalingPoint[] = [];
  for (const tokens of TOKENS) {
    const file = path.join(folder, `${tokens}.safetensors`);
    const example = madeExample({ ...contract, name }, tokens);
    await writeFile(file, example);
    for (const load of LOADS) {
      tell(`${tokens} tokens, ${load}`);
      const point = await measurePoint(options, server, file, load);
      points.push({
        tokens,
        load,
        bytesPerSample: Math.round(example.length / SAMPLES_IN_EXAMPLE),
        ...point,
      });
    }
  }
  const { layers, height, width } = contract.capture;
  return {
    machine: machineText(),
    warning,
    cores: availableParallelism(),
    connections: CONNECTIONS,
    probe: { reference: `${name}@${version}`, layers: layers.length, height, width },
    costLine: {
      msPerPaddedToken: batching.ms_per_padded_token,
      msPerRun: batching.ms_per_run,
      bestSamples: batching.best_samples,
    },
    points,
    series: await seriesOf(server.url),
    residentBytes: residentBytes(server.pid),
  };
}

async function measurePoint(
  { seconds, environment }: ScalingOptions,
  server: Server,
  file: string,
  load: Extract<Load, ScalingPoint['load']>,
): Promise<Omit<ScalingPoint, 'tokens' | 'load' | 'bytesPerSample'>> {
  const generator = startOrderTaker<LoadTalk>(GENERATOR, [file], environment);
  try {
    const target: Target = { kind: 'service', url: server.url };
    const order = { kind: 'closed', target, load, connections: CONNECTIONS } as const;
    await generator.ask({ ...order, until: { seconds: seconds / 2 } });
    const before = cpuSeconds(server.pid);
    const result = await generator.ask({ ...order, until: { seconds } });
    if (result.useful === 0) throw new Error(`nothing was scored in ${result.sent} requests`);
    return {
      samplesPerSecond: result.samples / result.seconds,
      cpuMsPerSample: ((cpuSeconds(server.pid) - before) * MS_PER_SECOND) / result.samples,
      p50Ms: result.latencyMs.p50,
      p99Ms: result.latencyMs.p99,
    };
  } finally {
    await generator.stop();
  }
}

async function servingModel(url: string): Promise<ServingModel> {
  const response = await fetch(new URL('/models', url));
  const { models } = (await response.json()) as { models: ServingModel[] };
  const serving = models.find(({ state }) => state === 'serving');
  if (!serving) throw new Error('the service serves no probe');
  return serving;
}

async function seriesOf(url: string): Promise<number> {
  const text = await (await fetch(new URL('/metrics', url))).text();
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length;
}
