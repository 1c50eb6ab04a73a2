/** Label sets start at zero, and once: later starts keep the counts. Histograms reach as far as their values. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseApiKeys } from '../../src/config/key-files.js';
import { createMetrics } from '../../src/telemetry/metrics.js';
import { fakeEngine, operatorFiles, startApp, TEST_POLICY, testManifest } from '../support/app.js';
import { receiptOf } from '../support/receipt.js';

const RECEIPT = receiptOf({ lowestPropensity: 1 });

const UNSTATED = { state: 'unstated', members: [] } as const;

test('a new policy does not reset the delay of feedback', async () => {
  const metrics = createMetrics();
  const probe = { name: 'tiny', version: 1, manifest: testManifest() };
  await metrics.exposition([{ ...probe, policy: TEST_POLICY }]);
  metrics.feedbackObserver.onAccepted({ receipt: RECEIPT, quality: 1, weight: 1, delaySeconds: 3 });
  const text = await metrics.exposition([{ ...probe, policy: { name: 'top_k', k: 1 } }]);
  assert.match(text, /feedback_delay_seconds_count\{model="tiny",version="1",arm="kept"\} 1\n/);
});

test('the first scrape does not reset earlier scores', async () => {
  const metrics = createMetrics();
  const probe = { ...fakeEngine().resolve('tiny'), manifest: testManifest() };
  const result = { score: 0.5, percentile: 40, decision: 'keep', reason: 'above_threshold', override: null };
  metrics.countScored({ probe, policy: TEST_POLICY, step: 5, conditions: UNSTATED, results: [result] });
  const text = await metrics.exposition([{ ...probe, policy: TEST_POLICY }]);
  assert.match(text, /score_count\{model="tiny",version="1",step="5"\} 1\n/);
});

test('a version that changes its provider shows the new one, and its counters stay', async () => {
  const metrics = createMetrics();
  const load = { name: 'tiny', version: 1, sha256: 'a' } as const;
  metrics.engineObserver.probeLoaded({ ...load, provider: 'cuda' });
  const probe = fakeEngine().resolve('tiny');
  const run = { probe, samples: 4, paddedTokens: 12, from: 0, to: 2, ms: 1, origins: [] };
  metrics.engineObserver.batchRun(run);
  metrics.engineObserver.probeLoaded({ ...load, provider: 'cpu' });
  const text = await metrics.exposition([]);
  assert.doesNotMatch(text, /execution_provider_info\{[^}]*provider="cuda"/);
  assert.match(text, /execution_provider_info\{model="tiny",version="1",provider="cpu"\} 1\n/);
  assert.match(text, /batch_size_sum\{model="tiny",version="1",provider="cuda"\} 4\n/);
});

test('histograms reach as far as the settings let their values go', async () => {
  const limits = { requestTimeoutMs: 100_000, inferenceTimeoutMs: 30_000, maxBatchSamples: 300 };
  const metrics = createMetrics({ ...limits, receiptLifetimeSeconds: 200_000 });
  metrics.engineObserver.probeLoaded({ name: 'tiny', version: 1, sha256: 'a', provider: 'cpu' });
  const text = await metrics.exposition([
    { name: 'tiny', version: 1, manifest: testManifest(), policy: TEST_POLICY },
  ]);
  for (const [name, largest] of [
    ['stage_duration_seconds', 100],
    ['batch_duration_seconds', 30],
    ['batch_size', 300],
    ['feedback_delay_seconds', 200_000],
  ] as const) {
    const lines = text.matchAll(new RegExp(`^diffusion_probe_${name}_bucket\\{[^}]*le="([^"+]+)"`, 'gm'));
    assert.ok(Math.max(...[...lines].map(([, bound]) => Number(bound))) >= largest, name);
  }
});

test('the counters of every API key start at zero, also of one that is added later', async () => {
  const metrics = createMetrics();
  const fileOf = (...ids: string[]) =>
    parseApiKeys(JSON.stringify({ keys: ids.map((id) => ({ id, sha256: '0'.repeat(64) })) }));
  let keys = fileOf('first');
  metrics.watchOperatorFiles(operatorFiles({ apiKeys: () => keys }));
  assert.match(await metrics.exposition([]), /tenant_samples_total\{tenant="first"\} 0\n/);
  metrics.countTenant({ tenant: 'first', isKey: true, outcome: 'scored', reason: 'none', samples: 3 });
  keys = fileOf('first', 'second');
  const text = await metrics.exposition([]);
  assert.match(text, /tenant_samples_total\{tenant="first"\} 3\n/);
  assert.match(text, /tenant_requests_total\{tenant="second",outcome="scored"\} 0\n/);
});

test('every answer of a route is counted in a series that was there before', async (t) => {
  const { listen } = await startApp(t, fakeEngine());
  const origin = await listen();
  const series = async (): Promise<Map<string, string>> => {
    const text = await (await fetch(`${origin}/metrics`)).text();
    const lines = text.matchAll(/^(diffusion_probe_(?:requests|problems)_total\{.*\}) (\d+)$/gm);
    return new Map([...lines].map(([, name = '', value = '']) => [name, value]));
  };
  const before = await series();
  const asked: [string, string][] = [
    ['GET', '/models'],
    ['HEAD', '/models'],
    ['POST', '/models/reload'],
    ['GET', '/readyz'],
    ['GET', '/nowhere'],
    ['PROPFIND', '/nowhere'],
    ['GET', '/score'],
    ['POST', '/score'],
    ['POST', '/feedback'],
    ['GET', '/'],
    ['GET', '/docs'],
    ['GET', '/openapi.json'],
    ['DELETE', '/metrics'],
  ];
  for (const [method, path] of asked)
    await (await fetch(origin + path, { method, redirect: 'manual' })).arrayBuffer();
  const after = await series();
  assert.deepEqual(
    [...after.keys()].filter((name) => !before.has(name)),
    [],
  );
  const total = (all: Map<string, string>) =>
    [...all]
      .filter(([name]) => name.includes('requests_total'))
      .reduce((sum, [, value]) => sum + Number(value), 0);
  assert.ok(total(after) - total(before) >= asked.length);
});

test("the first decision of a request's own policy starts its other decisions at zero", async () => {
  const metrics = createMetrics();
  const probe = { ...fakeEngine().resolve('tiny'), manifest: testManifest() };
  const result = { score: 0.5, percentile: 40, decision: 'keep', reason: 'top_k', override: null };
  metrics.countScored({
    probe,
    policy: { name: 'top_k', k: 1 },
    step: 5,
    conditions: UNSTATED,
    results: [result],
  });
  const text = await metrics.exposition([]);
  assert.match(
    text,
    /decisions_total\{[^}]*policy="top_k",decision="drop",reason="not_top_k",override="none"\} 0\n/,
  );
});

test('a caller or a refused version that nobody could know is scraped at zero first, and no count is lost', async () => {
  const metrics = createMetrics();
  const event = { isKey: false, outcome: 'scored', reason: 'none', samples: 2 } as const;
  const count = () => {
    metrics.countTenant({ ...event, tenant: '10.0.0.1' });
    metrics.engineObserver.probeRefused({ name: 'new', version: 3, reason: '' });
  };
  const figures = async (): Promise<(string | undefined)[]> => {
    const text = await metrics.exposition([]);
    return [
      /tenant_samples_total\{tenant="10.0.0.1"\} (\d+)/,
      /refused_probes_total\{model="new",version="3"\} (\d+)/,
    ].map((pattern) => pattern.exec(text)?.[1]);
  };
  count();
  count();
  assert.deepEqual(await figures(), ['0', '0']);
  count();
  assert.deepEqual(await figures(), ['6', '3']);
});
