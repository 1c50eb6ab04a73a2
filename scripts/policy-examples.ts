/** Owns the examples of policies in README.md: a real request under each policy, and an excerpt of the real answer. */
import { readFile } from 'node:fs/promises';

import type { FastifyInstance } from 'fastify';

import type { Scored, ScoreResult } from '../src/api/score-schemas.js';
import { createApp } from '../src/server/app.js';
import { DEFAULT_POLICIES } from '../src/config/policies.js';
import { randomKeys } from '../src/feedback/keys.js';
import { readSettings } from '../src/config/settings.js';
import { createLog } from '../src/telemetry/log.js';
import { createMetrics } from '../src/telemetry/metrics.js';

const EXAMPLE = 'examples/group.safetensors';
const MEDIA_TYPE = 'application/octet-stream';
/** As in the table above them. */
const POLICIES = [
  '{"name": "max_false_drop", "alpha": 0.05}',
  '{"name": "threshold", "value": 0.6}',
  '{"name": "top_k", "k": 2}',
  '{"name": "top_fraction", "fraction": 0.25}',
  '{"name": "score_only"}',
];
/** Further digits differ between machines. */
const DIGITS = 3;

/** One command line per policy, each with what it answers. */
export async function policyExamples(): Promise<string> {
  const body = await readFile(EXAMPLE);
  const { app, close } = await startService();
  try {
    const parts: string[] = [];
    for (const policy of POLICIES) parts.push(await example(app, policy, body));
    return `\`\`\`sh\n${parts.join('\n')}\n\`\`\``;
  } finally {
    await close();
  }
}

async function startService(): Promise<{ app: FastifyInstance; close: () => Promise<void> }> {
  const result = readSettings({ DEVICE: 'cpu', WORKERS: '1' });
  if (!result.ok) throw new Error(`the settings are not valid: ${result.mistakes.join()}`);
  const { settings } = result;
  // ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its library loads.
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
  const { createEngine } = await import('../src/engine/engine.js');
  const metrics = createMetrics();
  const log = createLog('silent');
  const engine = await createEngine({ ...settings, log, observer: metrics.engineObserver });
  const keys = randomKeys();
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
    examples: { requests: {} },
    version: '',
  });
  const close = async (): Promise<void> => {
    await app.close();
    await engine.close();
  };
  return { app, close };
}

async function example(app: FastifyInstance, policy: string, body: Buffer): Promise<string> {
  const results = await unexplored(app, policy, body);
  const shown = (['keep', 'drop'] as const).flatMap((decision) => {
    const first = results.find((result) => result.decision === decision);
    return first ? [`#   ${excerpt(first)}`] : [];
  });
  const kept = results.filter(({ decision }) => decision === 'keep').length;
  return [
    `curl -s http://127.0.0.1:8080/score -H 'x-policy: ${policy}' \\`,
    `  -H 'content-type: ${MEDIA_TYPE}' --data-binary @${EXAMPLE}`,
    `# ${kept} of ${results.length} are kept, among the results:`,
    ...shown,
  ].join('\n');
}

/** Exploration saves one dropped sample in fifty: asked again, so that what is usual is shown. */
async function unexplored(app: FastifyInstance, policy: string, payload: Buffer): Promise<ScoreResult[]> {
  const headers = { 'content-type': MEDIA_TYPE, 'x-policy': policy };
  for (;;) {
    const response = await app.inject({ method: 'POST', url: '/score', headers, payload });
    if (response.statusCode !== 200) throw new Error(`${policy} was answered with ${response.body}`);
    const { results } = response.json<Scored>();
    if (results.every(({ override }) => override !== 'explore')) return results;
  }
}

function excerpt({ index, score, rank, threshold, decision, reason }: ScoreResult): string {
  const rounded = (value: number | null) => value && Number(value.toFixed(DIGITS));
  const chosen = { index, score: rounded(score), rank, threshold: rounded(threshold), decision, reason };
  const members = Object.entries(chosen).map(([name, value]) => `"${name}": ${JSON.stringify(value)}`);
  return `{${members.join(', ')}, …}`;
}
