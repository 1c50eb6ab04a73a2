/**
 * The process of the service: reads the settings, starts the service, and ends it on a signal (server/shutdown.ts).
 * Only this file reads the service's settings from the environment. Libraries read their own variables: OpenTelemetry
 * OTEL_*, ONNX Runtime ORT_*.
 */
import { existsSync, readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';

import type { FastifyInstance } from 'fastify';

import { helpText, mistakesText, welcomeText } from './config/help.js';
import { openOperatorFiles } from './config/operator-files.js';
import { describeSettings, readSettings, type Settings } from './config/settings.js';
import type { Engine } from './engine/engine.js';
import { messageOf, StartError } from './errors.js';
import { RunningClock } from './running-clock.js';
import type { createMetricsApp, MetricsAppOptions } from './server/app.js';
import { listen } from './server/listen.js';
import { LOG_FLUSH_MS, type RunningService, Shutdown } from './server/shutdown.js';
import { listenOnUnixSocket } from './server/unix-socket.js';
import { openProcessLog } from './telemetry/process-log.js';
import { isTracingEnabled, type Tracing } from './telemetry/tracing.js';
import { EXIT_FAILURE, EXIT_USAGE } from './terminal/command-line.js';
import { progressBar } from './terminal/progress.js';

/** Fewer full garbage collections under load. See docs/adr/0006-heap-growth.md. */
const HEAP_GROWING_PERCENT = 300;
/** In a checkout, not in the package. */
const EXAMPLE = 'examples/group.safetensors';

// ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its library loads.
process.env['ORT_DISABLE_TELEMETRY'] = '1';
setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);

const settings = settingsOrExit(process.argv.slice(2));
const { log, terminal, flushed } = await openProcessLog(settings.logLevel, () => shutdown.onOutputClosed());
const clock = new RunningClock();
const shutdown = new Shutdown(log, clock);

try {
  const service = await start();
  const reason = await shutdown.requested;
  log.info({ ...reason, drain_delay_ms: settings.drainDelayMs }, 'draining');
  await shutdown.close(service, settings);
  log.info('stopped');
} catch (error) {
  terminal?.end();
  if (error instanceof StartError) log.fatal({ reason: error.message }, 'cannot start');
  else log.fatal({ reason: messageOf(error), err: error }, 'failed');
  process.exitCode = EXIT_FAILURE;
}
// A blocked write would keep the process alive, and exit() would wait for it.
if (!(await flushed(LOG_FLUSH_MS))) process.kill(process.pid, 'SIGKILL');

function settingsOrExit(args: readonly string[]): Settings {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(helpText(describeSettings()));
    process.exit();
  }
  const result = readSettings(process.env, args);
  if (result.ok) return result.settings;
  process.stderr.write(mistakesText(result.mistakes));
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
      onStartProgress: showLoading,
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
    const url = await listen(app, { ...settings, flag: '--port' });
    const { listen: socketPath } = settings;
    const socket = socketPath === undefined ? undefined : await listenOnUnixSocket(socketPath, app.server);
    announce(url, engine);
    return { engine, app, socket, metricsApp, tracing };
  } catch (error) {
    // Open ports and the engine's threads would keep the process alive.
    await Promise.all([app?.close(), metricsApp?.close()]);
    await engine.close();
    throw error;
  }
}

function showLoading(done: number, total: number): void {
  if (done < total) terminal?.show(`loading probes ${progressBar(done, total)}`);
  else terminal?.end();
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
  const url = await listen(metricsApp, {
    host: settings.host,
    port: settings.metricsPort,
    flag: '--metrics-port',
  });
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
  terminal?.end();
  const docs = `${url}/docs`;
  const page = settings.staticDir === undefined ? undefined : `${url}/`;
  const state = { url, socket: settings.listen, page, docs, models, ready, reason };
  if (!ready) log.warn(state, 'listening');
  else if (!terminal) log.info(state, 'listening');
  if (!shutdown.isDraining())
    terminal?.print(welcomeText(url, page ?? docs, existsSync(EXAMPLE) ? EXAMPLE : undefined));
}

function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
