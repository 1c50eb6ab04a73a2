/** Starts the service, the raw runner, the load generator and the peers. */
import path from 'node:path';

import type { BenchTools } from './command.js';
import type { BenchContext, MeasuredServer } from './measure.js';
import { NODE_PEER, PEER_WORKERS, type Plan } from './plan.js';
import { startChild } from './processes/child.js';
import { installPeer, startNodePeer, startPeer } from './processes/peer.js';
import { ROOT, startService } from './processes/server.js';
import type { LoadCall, RawCall } from './protocol.js';

export const GENERATOR = new URL('load/generator.js', import.meta.url);
const RAW_RUNNER = new URL('raw/runner.js', import.meta.url);

interface ModelFile {
  readonly reference: string;
  readonly path: string;
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
  const file = await findModelFile(service.target.url, model, modelsDir);
  const generator = await cleanup.keep(startChild<LoadCall>(GENERATOR, [examplePath], environment));
  const raw = await cleanup.keep(startChild<RawCall>(RAW_RUNNER, [file.path, examplePath], environment));
  const { peers, problem } = await startPeers(options, file.path);
  const skipped =
    problem === undefined
      ? []
      : [`the FastAPI peers are skipped, because Python or their packages are missing: ${problem}`];
  return {
    context: { ...options, service, peers, generator, raw, examplePath },
    notes: [`probe ${file.reference}`, ...skipped],
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
 * The file of the probe that the service serves.
 * @throws {Error} when it serves no probe of that name.
 */
async function findModelFile(url: string, name: string, modelsDir: string): Promise<ModelFile> {
  const response = await fetch(new URL('/models', url));
  const { models } = (await response.json()) as {
    models: { name: string; version: number; state: string }[];
  };
  const serving = models.find((model) => model.name === name && model.state === 'serving');
  if (!serving) throw new Error(`the service serves no probe ${name}, which the example is for`);
  const version = String(serving.version);
  return { reference: `${name}@${version}`, path: path.join(modelsDir, name, version, 'model.onnx') };
}
