/** Tests the health, model, metrics and documentation routes. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { test } from 'node:test';

import { problem } from '../../src/errors.js';
import { createMetrics } from '../../src/telemetry/metrics.js';
import { fakeEngine, startApp, startRealApp } from '../support/app.js';
import { startEngine } from '../support/engine.js';
import { TINY_SIZE, TINY_TOKENS, writeProbe } from '../support/probe-folder.js';
import { randomSamples, scoreBody } from '../support/samples.js';
import { temporaryFolder } from '../support/temporary-folder.js';

interface Listed {
  readonly version: number;
  readonly state: string;
  readonly batching: {
    readonly best_samples: number;
    readonly max_padded_tokens: number | null;
    readonly ms_per_padded_token: number;
    readonly ms_per_run: number;
    readonly pace: number;
  } | null;
}

test('/livez answers even when the engine is not ready', async (t) => {
  const { app } = await startApp(t, fakeEngine({ readiness: () => ({ ready: false }) }), {
    isDraining: () => true,
  });
  const response = await app.inject('/livez');
  assert.deepEqual([response.statusCode, response.json()], [200, { status: 'live' }]);
});

test('/readyz reports where probes really run, or why the service is not ready', async (t) => {
  const { app } = await startRealApp(t);
  const ready = await app.inject('/readyz');
  assert.deepEqual(ready.json(), {
    status: 'ready',
    models: [{ name: 'tiny', version: 1, provider: 'cpu' }],
  });
  const unready = await startApp(
    t,
    fakeEngine({ readiness: () => ({ ready: false, reason: 'loading tiny' }) }),
  );
  const response = await unready.app.inject('/readyz');
  assert.deepEqual([response.statusCode, response.json<{ detail: string }>().detail], [503, 'loading tiny']);
});

test('/models lists the contract of a probe without its calibration, and refused probes with their reason', async (t) => {
  const serving = fakeEngine().probes();
  const refused = {
    name: 'bad',
    version: 2,
    state: 'refused',
    reason: 'model.onnx has another hash',
  } as const;
  const { app } = await startApp(t, fakeEngine({ probes: () => [...serving, refused] }));
  const { models } = (await app.inject('/models')).json<{ models: Record<string, unknown>[] }>();
  assert.deepEqual(
    models.map(({ name, state, reason }) => [name, state, reason]),
    [
      ['tiny', 'serving', null],
      ['bad', 'refused', 'model.onnx has another hash'],
    ],
  );
  assert.deepEqual(Object.keys(models[0]?.['contract'] ?? {}).toSorted(), [
    'backbone',
    'capture',
    'capture_id',
    'conditions',
    'conditions_id',
    'decision_points',
    'evaluation',
    'inputs',
    'metric',
    'plans',
    'schema_version',
    'total_steps',
  ]);
});

test('/models/reload loads and reports changes, and /models reports what was measured', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { engine } = await startEngine(t, models, { maxBatchSamples: undefined });
  const { app } = await startApp(t, engine);
  await writeProbe(models, { version: 2 });
  await writeProbe(models, { version: 3, edit: (manifest) => (manifest.name = 'other') });
  const response = await app.inject({ method: 'POST', url: '/models/reload' });
  assert.equal(response.statusCode, 200);
  const { changes, ...listed } = response.json<{ changes: unknown; models: Listed[] }>();
  const reason = 'probe.json says other version 3, but its folder is tiny/3';
  assert.deepEqual(changes, [
    { name: 'tiny', version: 3, change: 'refused', reason },
    { name: 'tiny', version: 2, change: 'loaded', reason: null },
  ]);
  assert.deepEqual((await app.inject('/models')).json(), listed);
  assert.deepEqual(
    listed.models.map(({ version, state }) => [version, state]),
    [
      [3, 'refused'],
      [2, 'serving'],
      [1, 'available'],
    ],
  );
  const batching = listed.models[1]?.batching ?? assert.fail();
  assert.ok(batching.best_samples >= 1 && batching.ms_per_padded_token >= 0 && batching.ms_per_run >= 0);
  assert.equal(batching.max_padded_tokens, batching.best_samples * TINY_TOKENS);
  assert.equal(batching.pace, 1);
});

test('when CUDA is not available, auto says so in /models, the metrics and every answer', async (t) => {
  const { app } = await startRealApp(t, {}, { device: 'auto' });
  const { models } = (await app.inject('/models')).json<{ models: Record<string, string>[] }>();
  if (models[0]?.['provider'] === 'cuda') return t.skip('CUDA works here');
  assert.equal(models[0]?.['provider'], 'cpu');
  assert.match(models[0]['fallback'] ?? '', /cuda/i);
  const headers = { 'content-type': 'application/octet-stream' };
  const payload = Buffer.from(scoreBody(randomSamples(TINY_SIZE, 3, 1)));
  const scored = await app.inject({ method: 'POST', url: '/score', headers, payload });
  assert.equal(scored.json<{ provider: string }>().provider, 'cpu');
  const { body } = await app.inject('/metrics');
  assert.match(body, /execution_provider_info\{model="tiny",version="1",provider="cpu"\} 1/);
});

test('/models/reload answers unready when the repository cannot be read', async (t) => {
  const reload = () => Promise.reject(problem('unready', 'it cannot be read'));
  const { app } = await startApp(t, fakeEngine({ reload }));
  const response = await app.inject({ method: 'POST', url: '/models/reload' });
  assert.deepEqual([response.statusCode, response.headers['retry-after']], [503, '1']);
});

test('/metrics drops the info of an unloaded version and keeps its counters', async (t) => {
  const models = await temporaryFolder(t);
  const { folder } = await writeProbe(models, { version: 2 });
  await writeProbe(models);
  const metrics = createMetrics();
  const { engine } = await startEngine(t, models, { observer: metrics.engineObserver });
  const { app } = await startApp(t, engine, { metrics });
  const infos = async (): Promise<number> => {
    const { body } = await app.inject('/metrics');
    assert.match(body, /samples_total\{model="tiny",version="2",provider="cpu",/);
    return [...body.matchAll(/^diffusion_probe_(model|execution_provider)_info\{/gm)].length;
  };
  assert.equal(await infos(), 4);
  await rm(folder, { recursive: true });
  await app.inject({ method: 'POST', url: '/models/reload' });
  assert.equal(await infos(), 2);
});

test('/metrics counts the requests to /score', async (t) => {
  const { listen } = await startRealApp(t);
  const origin = await listen();
  const headers = { 'content-type': 'application/octet-stream' };
  const body = scoreBody(randomSamples(TINY_SIZE, 3, 4), {
    policy: '{"name":"top_k","k":1,"explore":{"rate":0}}',
  });
  const scored = await fetch(`${origin}/score`, { method: 'POST', headers, body });
  await scored.text();
  const wrong = randomSamples(TINY_SIZE, 3, 2);
  for (const sample of wrong) sample.attention.fill(2);
  const refused = await fetch(`${origin}/score`, { method: 'POST', headers, body: scoreBody(wrong) });
  assert.equal(refused.status, 422);
  const late = { ...headers, 'x-deadline-ms': '0' };
  await (await fetch(`${origin}/score`, { method: 'POST', headers: late, body })).text();
  const response = await fetch(`${origin}/metrics`);
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  const metrics = await response.text();
  for (const line of [
    'requests_total{route="/score",method="POST",status="200"} 2',
    'score_requests_total{model="tiny",version="1",provider="cpu",outcome="scored",reason="none"} 1',
    'score_requests_total{model="tiny",version="1",provider="cpu",outcome="failed_open",reason="deadline"} 0',
    'score_requests_total{model="tiny",version="1",provider="cpu",outcome="refused",reason="attention_out_of_range"} 1',
    'score_requests_total{model="",version="",provider="",outcome="failed_open",reason="deadline"} 1',
    'samples_total{model="tiny",version="1",provider="cpu",outcome="scored",reason="none"} 4',
    'samples_total{model="tiny",version="1",provider="cpu",outcome="refused",reason="attention_out_of_range"} 2',
    'decisions_total{model="tiny",version="1",step="5",policy="top_k",decision="drop",reason="not_top_k",override="none"} 3',
    'steps_saved_total{model="tiny",version="1"} 60',
    'steps_lost_total{model="tiny",version="1"} 15',
    'policy_alpha{model="tiny",version="1",step="5",policy="max_false_drop",alpha="0.05"} 0.05',
    'feedback_weight_total{model="tiny",version="1",step="5",policy="max_false_drop",alpha="0.05",verdict="drop",good="true"} 0',
    'feedback_weight_total{model="tiny",version="1",step="5",policy="top_k",alpha="",verdict="keep",good="false"} 0',
    'failed_open_total{reason="deadline"} 1',
    'score_count{model="tiny",version="1",step="5"} 4',
    'stage_duration_seconds_count{model="tiny",version="1",provider="cpu",stage="inference"} 1',
    'batch_size_count{model="tiny",version="1",provider="cpu"} 2',
    'loaded_probes_total{model="tiny",version="1",provider="cpu"} 1',
    'refused_probes_total{model="tiny",version="1"} 0',
    'ready 1',
    'queue_samples 0',
    'queue_bytes 0',
    'worker_restarts_total 0',
    'execution_provider_info{model="tiny",version="1",provider="cpu"} 1',
  ]) {
    assert.ok(metrics.includes(`diffusion_probe_${line}\n`), line);
  }
  const tenths = [...metrics.matchAll(/^diffusion_probe_score_tenths_total\{.*tenth="(\d+)"\} (\d+)$/gm)];
  assert.deepEqual(
    tenths.map(([, tenth]) => Number(tenth)).toSorted((left, right) => left - right),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  );
  assert.equal(
    tenths.reduce((sum, [, , count]) => sum + Number(count), 0),
    4,
  );
  assert.match(metrics, /diffusion_probe_spent_seconds_total\{model="tiny",version="1"\} 0\.\d+\n/);
  assert.match(metrics, /diffusion_probe_model_info\{model="tiny",version="1",sha256="[0-9a-f]{64}"\} 1\n/);
});

test('/docs works without the network, and / redirects to it', async (t) => {
  const { app } = await startApp(t, fakeEngine());
  const root = await app.inject('/');
  assert.deepEqual([root.statusCode, root.headers.location], [302, '/docs']);
  const page = await app.inject('/docs');
  assert.equal(page.statusCode, 200);
  assert.match(page.body, /<title>Diffusion Probe<\/title>/);
  const assets = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address = '']) => address);
  assert.ok(assets.length > 0);
  assert.ok(assets.some((asset) => asset.endsWith('logo.svg')));
  for (const asset of assets) assert.equal((await app.inject(asset)).statusCode, 200, asset);
});
