/** Starts apps for tests, with a fake or a real engine. */
import type { TestContext } from 'node:test';

import type { FastifyInstance } from 'fastify';

import {
  createApp,
  createMetricsApp,
  type AppOptions,
  type MetricsAppOptions,
} from '../../src/server/app.js';
import type { Policy } from '../../src/decision/policy.js';
import type { Policies } from '../../src/config/policies.js';
import type { Manifest } from '../../src/probe/manifest.js';
import type { Engine, EngineOptions, ServedProbe } from '../../src/engine/types.js';
import { problem } from '../../src/errors.js';
import { randomKeys } from '../../src/feedback/keys.js';
import { readSettings } from '../../src/config/settings.js';
import { createLog } from '../../src/telemetry/log.js';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.js';
import { startEngine } from './engine.js';
import { probeWith } from './made-up-probe.js';
import { tinyInputs } from './onnx.js';
import { type ProbeFolderOptions, TINY_SIZE, TINY_TOKENS, tinyManifest, writeProbe } from './probe-folder.js';
import { watchLog } from './private-text.js';
import { randomSamples } from './samples.js';
import { temporaryFolder } from './temporary-folder.js';

export interface TestApp {
  readonly app: FastifyInstance;
  readonly metrics: Metrics;
  /** Makes the app listen; resolves with its origin. */
  readonly listen: () => Promise<string>;
}

export const LIMITS = {
  maxBodyBytes: 1_000_000,
  maxJsonBodyBytes: 100_000,
  maxSamplesPerRequest: 8,
  maxQueueBytes: 2_000_000,
  minBodyBytesPerSecond: 1000,
};

const TIMEOUTS = { requestTimeoutMs: 60_000, keepAliveTimeoutMs: 620_000 };

/** The shipped policy without exploration, so that decisions are not random. */
export const TEST_POLICY: Policy = { name: 'max_false_drop', alpha: 0.05, explore: { rate: 0 } };

/** The manifest of the tiny probe, without a folder. */
export function testManifest(): Manifest {
  const samples = randomSamples(TINY_SIZE, TINY_TOKENS, 2);
  return tinyManifest(
    'tiny',
    1,
    TINY_SIZE,
    tinyInputs(TINY_SIZE.layers, TINY_SIZE.height, TINY_SIZE.width),
    samples,
  );
}

/** An engine that serves the tiny probe without running it: each sample scores 1. */
export function fakeEngine(overrides: Partial<Engine> = {}): Engine {
  const probe: ServedProbe = { ...probeWith(1, 8, 100), name: 'tiny', manifest: testManifest() };
  return {
    probes: () => [{ name: 'tiny', version: 1, state: 'serving', probe }],
    resolve: (reference) => {
      if (reference === undefined || reference === 'tiny' || reference === 'tiny@1') return probe;
      throw problem('model_not_found', `There is no probe ${reference}.`, {
        field: 'model',
        received: reference,
      });
    },
    score: async (_probe, body) => {
      const samples = body.tensors.get('timestep')?.shape[0] ?? 0;
      return {
        scores: new Float32Array(samples).fill(1),
        queueMs: 0.1,
        inferenceMs: 0.2,
        batchSamples: samples,
      };
    },
    readiness: () => ({ ready: true }),
    queueDepth: () => ({ samples: 0, bytes: 0 }),
    queueRefusal: () => undefined,
    predictedLatencyMs: () => 0,
    reload: async () => [],
    close: async () => 0,
    ...overrides,
  };
}

/** The test policy for every probe and random receipt keys, unless overridden. */
export function operatorFiles(
  overrides: Partial<AppOptions['operatorFiles']> = {},
): AppOptions['operatorFiles'] {
  const keys = randomKeys();
  const policies: Policies = { default: { policy: TEST_POLICY, allow_override: true }, models: {} };
  return {
    policies: () => policies,
    policiesRefusal: () => undefined,
    keys: () => keys,
    apiKeys: () => undefined,
    ...overrides,
  };
}

/** Starts an app with an engine; it is closed after the test. */
export async function startApp(
  t: TestContext,
  engine: Engine,
  options: Partial<AppOptions> = {},
): Promise<TestApp> {
  const metrics = options.metrics ?? createMetrics();
  metrics.watchEngine(engine);
  const write = watchLog(t);
  const app = await createApp({
    engine,
    metrics,
    log: createLog('trace', { write }),
    limits: LIMITS,
    operatorFiles: operatorFiles(),
    ...TIMEOUTS,
    receiptLifetimeSeconds: 3600,
    isDraining: () => false,
    examples: { requests: {} },
    version: '0.0.0',
    ...options,
  });
  t.after(() => app.close());
  return { app, metrics, listen: () => app.listen({ host: '127.0.0.1', port: 0 }) };
}

export interface RealApp extends TestApp {
  readonly engine: Engine;
  readonly modelsDir: string;
}

/** Starts an app with a real engine and the tiny probe, or a variant of it. */
export async function startRealApp(
  t: TestContext,
  options: Partial<AppOptions> = {},
  engineOptions: Partial<EngineOptions> = {},
  probe: ProbeFolderOptions = {},
): Promise<RealApp> {
  const modelsDir = await temporaryFolder(t);
  await writeProbe(modelsDir, probe);
  const metrics = createMetrics();
  const { engine } = await startEngine(t, modelsDir, { observer: metrics.engineObserver, ...engineOptions });
  return { ...(await startApp(t, engine, { metrics, ...options })), engine, modelsDir };
}

/** Starts the app of the metrics port; resolves with its origin. */
export async function startMetricsApp(
  t: TestContext,
  options: Partial<MetricsAppOptions> = {},
): Promise<string> {
  const app = await createMetricsApp({
    engine: fakeEngine(),
    metrics: createMetrics(),
    policies: operatorFiles().policies,
    log: createLog('trace', { write: watchLog(t) }),
    ...TIMEOUTS,
    isDraining: () => false,
    ...options,
  });
  t.after(() => app.close());
  return app.listen({ host: '127.0.0.1', port: 0 });
}

/** Starts an app as `npm start` does: the probes of this repository, the default limits and policy. */
export async function startShippedApp(t: TestContext): Promise<TestApp> {
  const result = readSettings({});
  if (!result.ok) throw new Error(result.mistakes.join());
  const metrics = createMetrics();
  const { engine } = await startEngine(t, result.settings.modelsDir, { observer: metrics.engineObserver });
  return startApp(t, engine, { metrics, ...result.settings, limits: result.settings });
}
