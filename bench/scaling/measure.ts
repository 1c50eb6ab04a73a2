/** Measures one service in closed loops over numbers of tokens, with single samples and with groups. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';

import { encodeSafetensors } from '../../clients/typescript/src/safetensors.js';
import type { ScalingPoint, ScalingResults } from '../../scripts/docs/scaling.js';
import { f32ToF16 } from '../../src/wire/float-convert.js';
import type { BenchTools } from '../command.js';
import { machineText, noiseWarning, residentBytes } from '../machine.js';
import { measureClosed } from '../measure.js';
import { startChild } from '../processes/child.js';
import { type Server, startService } from '../processes/server.js';
import type { Load, LoadCall } from '../protocol.js';
import { type ExampleContract, GENERATOR, servingModel } from '../start.js';

const TOKENS = [8, 16, 32, 48, 77];
const LOADS = ['single', 'group'] as const;
const CONNECTIONS = 16;
const SAMPLES_IN_EXAMPLE = 8;
/** The sum of attention at a position; the rest belongs to padding and the begin token. */
const MASS = 0.9;

export interface ScalingOptions extends BenchTools {
  /** The length of each closed loop, after a warm-up of half as long. */
  readonly seconds: number;
}

/** Measures the service's default probe. */
export async function measureScaling(options: ScalingOptions): Promise<ScalingResults> {
  const { environment, cleanup, onProgress } = options;
  const warning = noiseWarning();
  const folder = await mkdtemp(path.join(tmpdir(), 'scaling-'));
  await cleanup.keep({ stop: () => rm(folder, { recursive: true, force: true }) });
  onProgress('starting the service');
  const server = await cleanup.keep(startService(environment));
  const { name, version, contract, batching } = await servingModel(server.url);
  const points: ScalingPoint[] = [];
  for (const tokens of TOKENS) {
    const file = path.join(folder, `${tokens}.safetensors`);
    const example = makeExample({ ...contract, name }, tokens);
    await writeFile(file, example);
    for (const load of LOADS) {
      onProgress(`${tokens} tokens, ${load}`);
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
  const generator = startChild<LoadCall>(GENERATOR, [file], environment);
  const service = { name: 'service', target: { kind: 'service', url: server.url }, server } as const;
  try {
    await measureClosed({ generator }, service, load, CONNECTIONS, seconds / 2);
    const measured = await measureClosed({ generator }, service, load, CONNECTIONS, seconds);
    return {
      samplesPerSecond: measured.samplesPerSecond,
      cpuMsPerSample: measured.serverCpuPerSample * 1000,
      p50Ms: measured.latencyMs.p50,
      p99Ms: measured.latencyMs.p99,
    };
  } finally {
    await generator.stop();
  }
}

async function seriesOf(url: string): Promise<number> {
  const text = await (await fetch(new URL('/metrics', url))).text();
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length;
}

/** A request body of samples at the probe's first decision point. Its values have no effect on the cost. */
export function makeExample(
  contract: ExampleContract,
  tokens: number,
  samples = SAMPLES_IN_EXAMPLE,
): Uint8Array<ArrayBuffer> {
  const { name, capture, capture_id: captureId, decision_points: points } = contract;
  const { layers, height, width } = capture;
  const shape = [samples, layers.length, tokens, height, width];
  const values = shape.reduce((product, size) => product * size, 1);
  const attention = f32ToF16(new Float32Array(values).fill(MASS / tokens));
  const timestep = new Float32Array(samples).fill(points[0]?.timestep ?? 0);
  return encodeSafetensors(
    {
      attention: { dtype: 'F16', shape, data: attention },
      token_mask: {
        dtype: 'U8',
        shape: [samples, tokens],
        data: new Uint8Array(samples * tokens).fill(1),
      },
      timestep: { dtype: 'F32', shape: [samples], data: timestep },
    },
    { model: name, capture_id: captureId },
  );
}
