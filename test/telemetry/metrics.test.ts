/** Label sets start at zero once: later starts keep the counts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createMetrics } from '../../src/telemetry/metrics.js';
import { fakeEngine, TEST_POLICY, testManifest } from '../support/app.js';
import { receiptOf } from '../support/receipt.js';

const RECEIPT = receiptOf({ lowestPropensity: 1 });

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
  metrics.countScored({ probe, policy: TEST_POLICY, step: 5, results: [result] });
  const text = await metrics.exposition([{ ...probe, policy: TEST_POLICY }]);
  assert.match(text, /score_count\{model="tiny",version="1",step="5"\} 1\n/);
});

test('a version that changes its provider shows the new one, and its counters stay', async () => {
  const metrics = createMetrics();
  const load = { name: 'tiny', version: 1, sha256: 'a' } as const;
  metrics.engineObserver.probeLoaded({ ...load, provider: 'cuda' });
  metrics.engineObserver.batchRun({ model: 'tiny', version: 1, samples: 4, ms: 1 });
  metrics.engineObserver.probeLoaded({ ...load, provider: 'cpu' });
  const text = await metrics.exposition([]);
  assert.doesNotMatch(text, /execution_provider_info\{[^}]*provider="cuda"/);
  assert.match(text, /execution_provider_info\{model="tiny",version="1",provider="cpu"\} 1\n/);
  assert.match(text, /batch_size_sum\{model="tiny",version="1",provider="cuda"\} 4\n/);
});
