/** The service's app without a port: its OpenAPI document, and its answers to the example request. */
import { readFile } from 'node:fs/promises';

import { readExamples } from '../../src/api/docs.js';
import type { Scored } from '../../src/api/score-schemas.js';
import { DEFAULT_POLICIES } from '../../src/config/policies.js';
import { readSettings } from '../../src/config/settings.js';
import type { Engine, EngineOptions } from '../../src/engine/types.js';
import { problem } from '../../src/errors.js';
import { randomKeys } from '../../src/feedback/keys.js';
import { createApp } from '../../src/server/app.js';
import { RunningClock } from '../../src/running-clock.js';
import { createLog } from '../../src/telemetry/log.js';
import { createMetrics } from '../../src/telemetry/metrics.js';

export const EXAMPLE = 'examples/group.safetensors';
export const MEDIA_TYPE = 'application/octet-stream';

/** An engine without probes. */
const emptyEngine: Engine = {
  probes: () => [],
  resolve: () => {
    throw problem('model_not_found', 'There is no probe.');
  },
  score: () => Promise.reject(problem('unready', 'There is no probe.')),
  readiness: () => ({ ready: false, reason: 'There is no probe.' }),
  queueDepth: () => ({ samples: 0, bytes: 0 }),
  queueRefusal: () => undefined,
  predictedLatencyMs: () => 0,
  reload: () => Promise.resolve([]),
  close: () => Promise.resolve(0),
};

/** The text of openapi/openapi.json. */
export async function openApiText(): Promise<string> {
  const { app, close } = await startApp({}, () => Promise.resolve(emptyEngine));
  const text = `${JSON.stringify(app.swagger(), null, 2)}\n`;
  await close();
  return text;
}

/** The answers to the example request under each policy (JSON), in order. */
export async function answersTo(policies: readonly string[]): Promise<Scored[]> {
  // ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its library loads.
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
  const { createEngine } = await import('../../src/engine/engine.js');
  const { app, close } = await startApp({ DEVICE: 'cpu', WORKERS: '1' }, createEngine);
  const payload = await readFile(EXAMPLE);
  const ask = async (policy: string): Promise<Scored> => {
    const headers = { 'content-type': MEDIA_TYPE, 'x-policy': policy };
    const response = await app.inject({ method: 'POST', url: '/score', headers, payload });
    if (response.statusCode !== 200) throw new Error(`${policy} was answered with ${response.body}`);
    const answer = response.json<Scored>();
    // Exploration keeps one dropped sample in fifty. The documents show the usual answer, so the request is repeated.
    return answer.results.some(({ override }) => override === 'explore') ? ask(policy) : answer;
  };
  try {
    const answers: Scored[] = [];
    for (const policy of policies) answers.push(await ask(policy));
    return answers;
  } finally {
    await close();
  }
}

/** The app with these settings. */
async function startApp(
  environment: NodeJS.ProcessEnv,
  createEngine: (options: EngineOptions) => Promise<Engine>,
) {
  const result = readSettings(environment);
  if (!result.ok) throw new Error(`the settings are not valid: ${result.mistakes.join()}`);
  const { settings } = result;
  const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
  const [log, metrics, keys] = [createLog('silent'), createMetrics(), randomKeys()];
  const engine = await createEngine({
    ...settings,
    clock: new RunningClock(),
    log,
    observer: metrics.engineObserver,
  });
  const app = await createApp({
    ...settings,
    limits: settings,
    engine,
    metrics,
    operatorFiles: {
      policies: () => DEFAULT_POLICIES,
      policiesRefusal: () => undefined,
      keys: () => keys,
      apiKeys: () => undefined,
    },
    log,
    isDraining: () => false,
    examples: readExamples(),
    version,
  });
  const close = async (): Promise<void> => {
    await app.close();
    await engine.close();
  };
  return { app, close };
}
