/** Starts the service, the raw runner, the load generator and the peers. */
import path from 'node:path';

import type { Manifest } from '../src/probe/manifest.js';
import type { BenchTools } from './command.js';
import type { BenchContext, MeasuredServer } from './measure.js';
import { NODE_PEER, PEER_WORKERS, type Plan } from './plan.js';
import { startChild } from './processes/child.js';
import { installPeer, startNodePeer, startPeer } from './processes/peer.js';
import { ROOT, startService } from './processes/server.js';
import type { LoadCall, RawCall } from './protocol.js';

export const GENERATOR = new URL('load/generator.js', import.meta.url);
const RAW_RUNNER = new URL('raw/runner.js', import.meta.url);

/** The members of a manifest that a request body needs. */
export type ExampleContract = Pick<Manifest, 'name' | 'capture' | 'capture_id' | 'decision_points'>;

export interface ServingModel {
  readonly name: string;
  readonly version: number;
  readonly state: string;
  readonly contract: ExampleContract;
  readonly batching: { best_samples: number; ms_per_padded_token: number; ms_per_run: number };
}

export interface StartOptions extends BenchTools {
  readonly plan: Plan;
}

export interface Started {
  readonly context: BenchContext;
  /** Printed above the figures. */
  readonly notes: readonly string[];
}

/**
 * @param examplePath a request body.
 * @param model the name of its probe.
 * @throws {Error} when anything but a peer does not start.
 */
export async function startAll(options: StartOptions, examplePath: string, model: string): Promise<Started> {
  const { environment, onProgress, cleanup } = options;
  onProgress('starting the service, the raw runner and the load generator');
  const service = await startMeasuredService(options);
  const modelsDir = path.resolve(ROOT, environment['MODELS_DIR'] ?? 'models');
  const { version } = await servingModel(service.target.url, model);
  const file = path.join(modelsDir, model, String(version), 'model.onnx');
  const generator = await cleanup.keep(startChild<LoadCall>(GENERATOR, [examplePath], environment));
  const raw = await cleanup.keep(startChild<RawCall>(RAW_RUNNER, [file, examplePath], environment));
  const { peers, problem } = await startPeers(options, file);
  const skipped =
    problem === undefined
      ? []
      : [`the FastAPI peers are skipped, because Python or their packages are missing: ${problem}`];
  return {
    context: { ...options, service, peers, generator, raw, examplePath },
    notes: [`probe ${model}@${version}`, ...skipped],
  };
}

/** Starts a service, which the tables call "service". */
export async function startMeasuredService({ environment, cleanup }: StartOptions): Promise<MeasuredServer> {
  const server = await cleanup.keep(startService(environment));
  return { name: 'service', target: { kind: 'service', url: server.url }, server };
}

/** All peers, and the reason when those with FastAPI are not among them. */
async function startPeers(
  { environment, onProgress, cleanup }: StartOptions,
  modelPath: string,
): Promise<{ peers: MeasuredServer[]; problem?: string }> {
  const node = await cleanup.keep(startNodePeer(modelPath, environment));
  const peers: MeasuredServer[] = [
    { name: NODE_PEER, target: { kind: 'peer', url: node.url }, server: node },
  ];
  const problem = await installPeer(onProgress);
  if (problem !== undefined) return { peers, problem };
  for (const workers of PEER_WORKERS) {
    const name = `FastAPI, ${workers} ${workers === 1 ? 'process' : 'processes'}`;
    onProgress(`starting the ${name}`);
    const server = await cleanup.keep(startPeer(modelPath, workers, environment));
    peers.push({ name, target: { kind: 'peer', url: server.url }, server });
  }
  return { peers };
}

/**
 * The first serving probe of a service, or the one of this name.
 * @throws {Error} when there is none.
 */
export async function servingModel(url: string, name?: string): Promise<ServingModel> {
  const response = await fetch(new URL('/models', url));
  const { models } = (await response.json()) as { models: ServingModel[] };
  const serving = models.find((model) => model.state === 'serving' && (name ?? model.name) === model.name);
  if (!serving) throw new Error(`the service serves no probe ${name ?? ''}`);
  return serving;
}
