/** Owns the start of everything that takes part: the service, the raw runner, the load generator and the peers. */
import path from 'node:path';

import type { BenchContext, Rival } from './bench-context.js';
import type { LoadTalk } from './load/protocol.js';
import { findModelFile } from './model-file.js';
import { PEER_WORKERS, type Plan } from './plan.js';
import type { Cleanup } from './processes/cleanup.js';
import { startOrderTaker } from './processes/orders.js';
import { installPeer, startPeer } from './processes/peer.js';
import { ROOT, startService } from './processes/service.js';
import type { RawTalk } from './raw/protocol.js';

const GENERATOR = new URL('load/generator.js', import.meta.url);
const RAW_RUNNER = new URL('raw/runner.js', import.meta.url);

export interface StartOptions {
  readonly plan: Plan;
  readonly environment: NodeJS.ProcessEnv;
  readonly tell: (line: string) => void;
  /** Stops what is started here. */
  readonly cleanup: Cleanup;
}

export interface Started {
  readonly context: BenchContext;
  /** What the reader of the figures should know. */
  readonly notes: readonly string[];
}

/**
 * @param examplePath a request body. @param model the probe that it is for.
 * @throws {Error} when anything but a peer does not start.
 */
export async function startAll(options: StartOptions, examplePath: string, model: string): Promise<Started> {
  const { plan, environment, tell, cleanup } = options;
  tell('starting the service, the raw runner and the load generator');
  const service = await startRival(options);
  const modelsDir = path.resolve(ROOT, environment['MODELS_DIR'] ?? 'models');
  const file = await findModelFile(service.target.url, model, modelsDir);
  const generator = await cleanup.keep(startOrderTaker<LoadTalk>(GENERATOR, [examplePath], environment));
  const raw = await cleanup.keep(
    startOrderTaker<RawTalk>(RAW_RUNNER, [file.path, file.output, examplePath], environment),
  );
  const { peers, trouble } = await startPeers(options, file.path);
  const skipped =
    trouble === undefined
      ? []
      : [`the peers are skipped, Python or their packages cannot be had: ${trouble}`];
  return {
    context: { plan, service, peers, generator, raw, tell },
    notes: [`probe ${file.reference}`, ...skipped],
  };
}

/** Starts one more service, to be measured under the same name. */
export async function startRival({ environment, cleanup }: StartOptions): Promise<Rival> {
  const server = await cleanup.keep(startService(environment));
  return { name: 'service', target: { kind: 'service', url: server.url }, server };
}

/** All peers, or none and why. */
async function startPeers(
  { environment, tell, cleanup }: StartOptions,
  modelPath: string,
): Promise<{ peers: Rival[]; trouble?: string }> {
  const trouble = await installPeer(tell);
  if (trouble !== undefined) return { peers: [], trouble };
  const peers: Rival[] = [];
  for (const workers of PEER_WORKERS) {
    const name = `peer, ${workers} ${workers === 1 ? 'worker' : 'workers'}`;
    tell(`starting the ${name}`);
    const server = await cleanup.keep(startPeer(modelPath, workers, environment));
    peers.push({ name, target: { kind: 'peer', url: server.url }, server });
  }
  return { peers };
}
