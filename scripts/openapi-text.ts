/** Owns the OpenAPI document as text, made from the app itself without a probe or a port. */
import { readFileSync } from 'node:fs';

import { readExamples } from '../src/api/docs.js';
import { createApp } from '../src/server/app.js';
import { DEFAULT_POLICIES } from '../src/config/policies.js';
import type { Engine } from '../src/engine/types.js';
import { problem } from '../src/errors.js';
import { randomKeys } from '../src/feedback/keys.js';
import { readSettings } from '../src/config/settings.js';
import { createLog } from '../src/telemetry/log.js';
import { createMetrics } from '../src/telemetry/metrics.js';

const PACKAGE_FILE = new URL('../../package.json', import.meta.url);

/** What an engine without probes is; enough for routes to be described. */
const emptyEngine: Engine = {
  probes: () => [],
  resolve: () => {
    throw problem('model_not_found', 'There is no probe.');
  },
  score: () => Promise.reject(problem('unready', 'There is no probe.')),
  readiness: () => ({ ready: false, reason: 'There is no probe.' }),
  queueDepth: () => ({ samples: 0, bytes: 0 }),
  predictedLatencyMs: () => 0,
  reload: () => Promise.resolve([]),
  close: () => Promise.resolve(0),
};

/** The document as it is kept in openapi/openapi.json. */
export async function openApiText(): Promise<string> {
  const { version } = JSON.parse(readFileSync(PACKAGE_FILE, 'utf8')) as { version: string };
  const result = readSettings({});
  if (!result.ok) throw new Error(`the default settings are not valid: ${result.mistakes.join()}`);
  const app = await createApp({
    ...result.settings,
    limits: result.settings,
    engine: emptyEngine,
    metrics: createMetrics(),
    operatorFiles: {
      policies: () => DEFAULT_POLICIES,
      policiesRefusal: () => undefined,
      keys: randomKeys,
      apiKeys: () => undefined,
    },
    log: createLog('silent'),
    isDraining: () => false,
    examples: readExamples(),
    version,
  });
  const text = `${JSON.stringify(app.swagger(), null, 2)}\n`;
  await app.close();
  return text;
}
