/** Makes loaded probes and requests for tests that need no worker. The costs of the probes are round numbers. */
import { BatchPlan } from '../../src/engine/warm-up/batch-plan.js';
import type { ScoreOptions, ServedProbe } from '../../src/engine/types.js';
import { ScoreRequest } from '../../src/engine/batching/score-request.js';
import { tinyInputs } from './onnx.js';
import { TINY_SIZE, tinyManifest } from './probe-folder.js';
import { decodedBody } from './samples.js';

export const MS_PER_TOKEN = 1;
export const MS_PER_RUN = 10;

const manifest = tinyManifest('tiny', 1, TINY_SIZE, tinyInputs(2, 4, 4), []);

const made = new Map<string, ServedProbe>();

/** A probe whose batches hold at most `maxSamples` samples and `maxTokens` padded tokens; the same one for the same figures. */
export function probeWith(key: number, maxSamples: number, maxTokens = Infinity): ServedProbe {
  const measurements = [1, 2].map((samples) => ({
    samples,
    tokens: samples,
    ms: samples * MS_PER_TOKEN + MS_PER_RUN,
  }));
  const plan = Object.assign(new BatchPlan(measurements, maxSamples), { maxPaddedTokens: maxTokens });
  const known = {
    name: `probe-${key}`,
    version: 1,
    provider: 'cpu',
    sha256: '',
    manifestSha256: '',
    model: new Uint8Array(),
    selftest: decodedBody({}),
  } as const;
  const name = [key, maxSamples, maxTokens].join();
  const probe = made.get(name) ?? { key, ...known, manifest, plan };
  made.set(name, probe);
  return probe;
}

/** A request whose samples have `tokens` tokens each, and one more that is masked. */
export function requestOf(
  samples: number,
  probe: ServedProbe,
  tokens = 1,
  options: ScoreOptions = {},
): ScoreRequest {
  const width = tokens + 1;
  const mask = new Uint8Array(samples * width).map((_, index) => (index % width < tokens ? 1 : 0));
  const body = decodedBody({
    timestep: { dtype: 'F32', shape: [samples], data: new Float32Array(samples) },
    token_mask: { dtype: 'U8', shape: [samples, width], data: mask },
  });
  return new ScoreRequest(probe, body, options);
}
