/**
 * Owns the process: the environment, the signals, standard output and the exit code; no other file touches them.
 * Settings, engine, app, listen; then drain on SIGTERM or SIGINT.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import type { FastifyInstance } from 'fastify';

import { readExamples } from './api/examples.js';
import { createApp } from './server/app.js';
import { helpText, welcomeText } from './config/help.js';
import type { Engine } from './engine/engine.js';
import { letHeapGrow } from './server/heap-growth.js';
import { createMetricsApp, type MetricsAppOptions } from './server/metrics-app.js';
import { openOperatorFiles } from './config/operator-files.js';
import { describeSettings, readSettings, type Settings } from './config/settings.js';
import { createLog } from './telemetry/log.js';
import { createMetrics } from './telemetry/metrics.js';
import { isTracingEnabled, type Tracing } from './telemetry/tracing.js';
import { listenOnUnixSocket, type UnixSocket } from './server/unix-socket.js';

interface Service {
  readonly engine: Engine;
  readonly app: FastifyInstance;
  readonly socket: UnixSocket | undefined;
  /** Undefined where the metrics have no port of their own. */
  readonly metricsApp: FastifyInstance | undefined;
  /** Undefined where none is asked for. */
  readonly tracing: Tracing | undefined;
}

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
const LAST_WORDS_MS = 200;
const STOP_SIGNALS = ['SIGTERM', 'SIGINT'] as const;

// ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its library loads.
process.env['ORT_DISABLE_TELEMETRY'] = '1';
letHeapGrow();

const settings = settingsOrExit();
const log = createLog(settings.logLevel);
let draining = false;
const hurry = new AbortController();
const stopSignal = listenForSignals();
const hang = listenForHang();

try {
  const service = await start();
  const cause = await Promise.race([stopSignal, hang.comes]);
  log.info({ ...cause, drain_delay_ms: settings.drainDelayMs }, 'draining');
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
  metrics.setServiceInfo({ ...settings, version, nodeVersion: process.version });
  const operatorFiles = await openOperatorFiles({
    ...settings,
    log: log.child({ part: 'operator' }),
    onReload: (file, outcome) => metrics.countFileReload(file, outcome),
  });
  const tracing = isTracingEnabled(process.env) ? await beginTracing(version) : undefined;
  const engine = await createEngine({
    ...settings,
    log: log.child({ part: 'engine' }),
    observer: metrics.engineObserver,
    onRun: tracing && ((run) => tracing.recordRun(run)),
    onHang: hang.tell,
  });
  metrics.watchEngine(engine);
  let app: FastifyInstance | undefined;
  let metricsApp: FastifyInstance | undefined;
  try {
    app = await createApp({
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
    const { listen } = settings;
    const socket = listen === undefined ? undefined : await listenOnUnixSocket(listen, app.server);
    welcome(url, engine);
    return { engine, app, socket, metricsApp, tracing };
  } catch (error) {
    // What listens, and the engine's threads, would keep the process alive.
    await Promise.all([app?.close(), metricsApp?.close()]);
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
  log.info({ url, socket: settings.listen, docs: `${url}/docs`, models, ready, reason }, 'listening');
  if (process.stdout.isTTY) process.stdout.write(welcomeText(url, models));
}

/**
 * Resolves with the first signal to stop, even one that comes during the start. A second signal stops waiting for
 * clients, but nothing breaks off a running inference.
 */
function listenForSignals(): Promise<{ signal: NodeJS.Signals }> {
  return new Promise((resolve) => {
    for (const signal of STOP_SIGNALS) {
      process.on(signal, () => {
        if (draining) hurry.abort();
        draining = true;
        resolve({ signal });
      });
    }
  });
}

/** A run that hangs cannot be stopped, so the process ends once the rest has drained, for a supervisor to start anew. */
function listenForHang(): { comes: Promise<{ reason: string }>; tell: (reason: string) => void } {
  let tell: (reason: string) => void = () => {};
  const comes = new Promise<{ reason: string }>((resolve) => {
    tell = (reason) => {
      log.fatal({ reason }, 'a run hangs: the process will end');
      process.exitCode = EXIT_FAILURE;
      draining = true;
      resolve({ reason });
    };
  });
  return { comes, tell };
}

async function stop({ engine, app, socket, metricsApp, tracing }: Service): Promise<void> {
  // Unref'd: a process that has nothing left to do ends by itself before.
  setTimeout(
    () => void kill('stopping took too long'),
    settings.drainDelayMs + settings.shutdownTimeoutMs,
  ).unref();

  await delay(settings.drainDelayMs, undefined, { signal: hurry.signal }).catch(() => {});
  const hangUp = (): void => app.server.closeAllConnections();
  hurry.signal.addEventListener('abort', hangUp);
  if (hurry.signal.aborted) hangUp();
  // Node looks after the timeouts of requests no more once a server closes: slow senders would hold it up.
  const { shutdownTimeoutMs, inferenceTimeoutMs } = settings;
  setTimeout(hangUp, Math.max(shutdownTimeoutMs / 2, shutdownTimeoutMs - inferenceTimeoutMs)).unref();
  await Promise.all([socket?.close(), app.close()]);
  const leftBehind = await engine.close();
  if (leftBehind > 0) await kill('a run still hangs');
  await metricsApp?.close();
  await tracing?.close();
}

/** Nothing gentler ends a process that has a thread in native code: exit() aborts it, or waits for the thread for ever. */
async function kill(reason: string): Promise<void> {
  log.fatal({ reason }, 'killed');
  // The log is written in the background, and offers no way to wait for it.
  await delay(LAST_WORDS_MS);
  process.kill(process.pid, 'SIGKILL');
}

function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
