/**
 * Owns the process: the environment, the signals, standard output and the exit code; no other file touches them.
 * Settings, engine, app, listen; then drain on SIGTERM or SIGINT.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import type { FastifyInstance } from 'fastify';

import { readExamples } from './api/examples.js';
import { createApp } from './app.js';
import { helpText, welcomeText } from './console-texts.js';
import type { Engine } from './engine/engine.js';
import { createMetricsApp, type MetricsAppOptions } from './metrics-app.js';
import { openOperatorFiles } from './operator/operator-files.js';
import { describeSettings, readSettings, type Settings } from './settings.js';
import { createLog } from './telemetry/log.js';
import { createMetrics } from './telemetry/metrics.js';
import { isTracingAsked, type Tracing } from './telemetry/tracing.js';

interface Service {
  readonly engine: Engine;
  readonly app: FastifyInstance;
  /** Undefined where the metrics have no port of their own. */
  readonly metricsApp: FastifyInstance | undefined;
  /** Undefined where none is asked for. */
  readonly tracing: Tracing | undefined;
}

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
const STOP_SIGNALS = ['SIGTERM', 'SIGINT'] as const;

// ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its library loads.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

const settings = settingsOrExit();
const log = createLog(settings.logLevel);
let draining = false;
const hurry = new AbortController();
const stopSignal = listenForSignals();

try {
  const service = await start();
  log.info({ signal: await stopSignal, drain_delay_ms: settings.drainDelayMs }, 'draining');
  await stop(service);
  log.info('stopped');
} catch (error) {
  log.fatal({ err: error }, 'failed');
  process.exitCode = EXIT_FAILURE;
}

function settingsOrExit(): Settings {
  const { values, positionals } = parseArgs({
    options: { help: { type: 'boolean', short: 'h', default: false } },
    allowPositionals: true,
    strict: false,
  });
  if (values['help']) {
    process.stdout.write(helpText(describeSettings()));
    process.exit();
  }
  if (positionals.length > 0)
    refuse([`there is no argument ${positionals.join(' ')}: all settings come from the environment`]);
  const result = readSettings(process.env);
  return result.ok ? result.settings : refuse(result.mistakes);
}

function refuse(mistakes: readonly string[]): never {
  process.stderr.write(
    `Cannot start, the settings have mistakes (--help lists them all):\n  ${mistakes.join('\n  ')}\n`,
  );
  process.exit(EXIT_USAGE);
}

async function start(): Promise<Service> {
  // Only now, when the environment is set.
  const { createEngine } = await import('./engine/engine.js');
  const version = packageVersion();
  const metrics = createMetrics();
  metrics.describe({ ...settings, version, nodeVersion: process.version });
  const operatorFiles = await openOperatorFiles({
    ...settings,
    log: log.child({ part: 'operator' }),
    onReload: (file, outcome) => metrics.fileReloaded(file, outcome),
  });
  const engine = await createEngine({
    ...settings,
    log: log.child({ part: 'engine' }),
    observer: metrics.engineObserver,
  });
  metrics.watchEngine(engine);
  const tracing = isTracingAsked(process.env) ? await beginTracing(version) : undefined;
  let metricsApp: FastifyInstance | undefined;
  try {
    const app = await createApp({
      ...settings,
      limits: settings,
      engine,
      metrics,
      tracing,
      operatorFiles,
      log,
      isDraining: () => draining,
      examples: readExamples(),
      version,
    });
    metricsApp = await listenForMetrics({
      metrics,
      engine,
      policies: () => operatorFiles.policies(),
      log,
      isDraining: () => draining,
    });
    const url = await app.listen({ host: settings.host, port: settings.port });
    welcome(url, engine);
    return { engine, app, metricsApp, tracing };
  } catch (error) {
    // What listens, and the engine's threads, would keep the process alive.
    await metricsApp?.close();
    await engine.close();
    throw error;
  }
}

async function beginTracing(version: string): Promise<Tracing> {
  // Only now: most services do without these libraries.
  const { startTracing } = await import('./telemetry/otlp.js');
  log.info('requests are traced');
  return startTracing(version);
}

async function listenForMetrics(options: MetricsAppOptions): Promise<FastifyInstance | undefined> {
  if (settings.metricsPort === undefined) return undefined;
  const metricsApp = await createMetricsApp(options);
  const url = await metricsApp.listen({ host: settings.host, port: settings.metricsPort });
  log.info({ metrics: `${url}/metrics` }, 'listening for metrics');
  return metricsApp;
}

function welcome(url: string, engine: Engine): void {
  const serving = engine.probes().filter((probe) => probe.state === 'serving');
  const { ready, reason } = engine.readiness();
  const models = serving.map(({ name, version, provider = 'cpu' }) => ({ name, version, provider }));
  log.info({ url, docs: `${url}/docs`, models, ready, reason }, 'listening');
  if (process.stdout.isTTY) process.stdout.write(welcomeText(url, models));
}

/**
 * Resolves with the first signal to stop, even one that comes during the start. A second signal stops waiting for
 * clients, but nothing breaks off a running inference.
 */
function listenForSignals(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of STOP_SIGNALS) {
      process.on(signal, () => {
        if (draining) hurry.abort();
        draining = true;
        resolve(signal);
      });
    }
  });
}

async function stop({ engine, app, metricsApp, tracing }: Service): Promise<void> {
  // Exiting in the middle of an inference aborts the whole process from native code, so this is the last resort, against
  // a run that hangs. Unref'd: a process that has nothing left to do ends by itself before.
  setTimeout(() => {
    log.fatal('stopping took too long');
    process.exit(EXIT_FAILURE);
  }, settings.drainDelayMs + settings.shutdownTimeoutMs).unref();

  await delay(settings.drainDelayMs, undefined, { signal: hurry.signal }).catch(() => {});
  hurry.signal.addEventListener('abort', () => app.server.closeAllConnections());
  if (hurry.signal.aborted) app.server.closeAllConnections();
  await app.close();
  await engine.close();
  await metricsApp?.close();
  await tracing?.close();
}

function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
