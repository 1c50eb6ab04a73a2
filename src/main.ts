#!/usr/bin/env node
/**
 * The program: reads the settings, starts the service, and ends it on a signal (server/shutdown.ts).
 * Only this file reads the service's settings from the environment. Libraries read their own variables: OpenTelemetry
 * OTEL_*, ONNX Runtime ORT_*.
 */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';

import type { FastifyInstance } from 'fastify';

import { helpText, welcomeText } from './config/help.js';
import { openOperatorFiles } from './config/operator-files.js';
import { describeSettings, readSettings, type Settings } from './config/settings.js';
import type { Engine } from './engine/engine.js';
import { messageOf } from './errors.js';
import { RunningClock } from './running-clock.js';
import type { createMetricsApp, MetricsAppOptions } from './server/app.js';
import { EXIT_FAILURE, LOG_FLUSH_MS, type RunningService, Shutdown } from './server/shutdown.js';
import { listenOnUnixSocket } from './server/unix-socket.js';
import { createLog } from './telemetry/log.js';
import { LogOutput } from './telemetry/log-output.js';
import { isTracingEnabled, type Tracing } from './telemetry/tracing.js';

const EXIT_USAGE = 2;
const STDOUT = 1;
/** Fewer full garbage collections under load. See docs/adr/0006-heap-growth.md. */
const HEAP_GROWING_PERCENT = 300;

// ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its library loads.
process.env['ORT_DISABLE_TELEMETRY'] = '1';
setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);

const settings = settingsOrExit(process.argv.slice(2));
const output = new LogOutput(STDOUT, () => shutdown.onOutputClosed());
const log = createLog(settings.logLevel, output);
const clock = new RunningClock();
const shutdown = new Shutdown(log, clock);

try {
  const service = await start();
  const reason = await shutdown.requested;
  log.info({ ...reason, drain_delay_ms: settings.drainDelayMs }, 'draining');
  await shutdown.close(service, settings);
  log.info('stopped');
} catch (error) {
  log.fatal({ reason: messageOf(error), err: error }, 'failed');
  process.exitCode = EXIT_FAILURE;
}
// A blocked write would keep the process alive, and exit() would wait for it.
if (!(await output.flushed(LOG_FLUSH_MS))) process.kill(process.pid, 'SIGKILL');

function settingsOrExit(args: readonly string[]): Settings {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(helpText(describeSettings()));
    process.exit();
  }
  const result = readSettings(process.env, args);
  if (result.ok) return result.settings;
  const mistakes = result.mistakes.join('\n  ');
  process.stderr.write(
    `Cannot start: the settings have mistakes (--help lists all settings):\n  ${mistakes}\n`,
  );
  process.exit(EXIT_USAGE);
}

async function start(): Promise<RunningService> {
  // Imported here, because this loads ONNX Runtime, which reads the environment.
  const { createEngine, startProver } = await import('./engine/engine.js');
  let onTest = (): void => {};
  const testing = new Promise<void>((resolve) => {
    onTest = resolve;
  });
  const prover = startProver({ ...settings, clock, onTest });
  // Imported here, because the process that tests the probes starts meanwhile.
  const { createMetrics } = await import('./telemetry/metrics.js');
  const version = packageVersion();
  const metrics = createMetrics(settings);
  metrics.setServiceInfo({ ...settings, version, nodeVersion: process.version });
  const operatorFiles = await openOperatorFiles({
    ...settings,
    log: log.child({ component: 'operator' }),
    onReload: (file, outcome) => metrics.countFileReload(file, outcome),
  });
  const tracing = isTracingEnabled(process.env) ? await startTracing(version) : undefined;
  const starting = createEngine(
    {
      ...settings,
      clock,
      log: log.child({ component: 'engine' }),
      observer: {
        ...metrics.engineObserver,
        batchRun: (run) => {
          metrics.engineObserver.batchRun(run);
          tracing?.recordRun(run);
        },
      },
      onHang: shutdown.onHang,
    },
    prover,
  );
  // The server's libraries are loaded while another process tests the probes. Before that, they would delay the reading of the probes.
  await Promise.race([starting, testing]);
  const [engine, { createApp, createMetricsApp }, { readExamples }] = await Promise.all([
    starting,
    import('./server/app.js'),
    import('./api/docs.js'),
  ]);
  metrics.watchEngine(engine);
  const { isDraining } = shutdown;
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
      isDraining,
      examples: readExamples(),
      version,
    });
    metricsApp = await listenForMetrics(createMetricsApp, {
      ...settings,
      ...operatorFiles,
      metrics,
      engine,
      log,
      isDraining,
    });
    const url = await app.listen({ host: settings.host, port: settings.port });
    const { listen } = settings;
    const socket = listen === undefined ? undefined : await listenOnUnixSocket(listen, app.server);
    announce(url, engine);
    return { engine, app, socket, metricsApp, tracing };
  } catch (error) {
    // Open ports and the engine's threads would keep the process alive.
    await Promise.all([app?.close(), metricsApp?.close()]);
    await engine.close();
    throw error;
  }
}

async function startTracing(version: string): Promise<Tracing> {
  // Imported here, because most services do not need these libraries.
  const otlp = await import('./telemetry/otlp.js');
  log.info('requests are traced');
  return otlp.startTracing(version);
}

async function listenForMetrics(
  create: typeof createMetricsApp,
  options: MetricsAppOptions,
): Promise<FastifyInstance | undefined> {
  if (settings.metricsPort === undefined) return undefined;
  const metricsApp = await create(options);
  const url = await metricsApp.listen({ host: settings.host, port: settings.metricsPort });
  log.info({ metrics: `${url}/metrics` }, 'listening for metrics');
  return metricsApp;
}

function announce(url: string, engine: Engine): void {
  const serving = engine.probes().filter((probe) => probe.state === 'serving');
  const { ready, reason } = engine.readiness();
  const models = serving.map(({ name, version, probe }) => ({
    name,
    version,
    provider: probe?.provider ?? 'cpu',
  }));
  log.info({ url, socket: settings.listen, docs: `${url}/docs`, models, ready, reason }, 'listening');
  if (process.stdout.isTTY) process.stdout.write(welcomeText(url, models));
}

function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
