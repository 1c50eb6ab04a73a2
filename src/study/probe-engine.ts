/** Owns the probe as the study asks it: the service's own engine on one folder of the model repository. */
import path from 'node:path';

import { encodeRequest, type ScoreInput } from '../client/request.js';
import type { EngineLog, EngineObserver } from '../engine/types.js';
import type { Manifest } from '../engine/manifest.js';
import { sharedCopy } from '../wire/body-memory.js';
import { decodeSafetensors } from '../wire/safetensors.js';

const MAX_SAMPLES = 64;
const MAX_BYTES = 256 * 1024 * 1024;

const QUIET_LOG: EngineLog = { info: () => {}, warn: () => {}, error: () => {} };
const QUIET_OBSERVER: EngineObserver = {
  batchRun: () => {},
  entrySkipped: () => {},
  workerRestarted: () => {},
  probeLoaded: () => {},
  probeUnloaded: () => {},
  probeRefused: () => {},
};

export interface ProbeEngine {
  readonly manifest: Manifest;
  /** One score per sample. */
  score(input: ScoreInput): Promise<readonly number[]>;
  close(): Promise<void>;
}

/**
 * Loads the probe in `<models>/<name>/<version>`.
 * @throws {Error} with the reason when the engine refuses it.
 */
export async function openProbe(folder: string): Promise<ProbeEngine> {
  const { createEngine } = await import('../engine/engine.js');
  const [name, version] = [path.basename(path.dirname(folder)), path.basename(folder)];
  const engine = await createEngine({
    modelsDir: path.dirname(path.dirname(folder)),
    device: 'cpu',
    workers: 1,
    maxBatchSamples: 8,
    maxQueueSamples: MAX_SAMPLES,
    maxQueueBytes: MAX_BYTES,
    log: QUIET_LOG,
    observer: QUIET_OBSERVER,
  });
  try {
    const status = engine.probes().find((probe) => probe.name === name && String(probe.version) === version);
    if (status?.reason !== undefined) throw new Error(`${folder} is refused: ${status.reason}`);
    const probe = engine.resolve(`${name}@${version}`);
    return {
      manifest: probe.manifest,
      score: async (input) => {
        const body = decodeSafetensors(sharedCopy(encodeRequest(input, {})));
        return [...(await engine.score(probe, body)).scores];
      },
      close: async () => {
        await engine.close();
      },
    };
  } catch (error) {
    await engine.close();
    throw error;
  }
}
