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
import { describeSettings, readSettings, type Settings } from './settings.js';
import { createLog } from './telemetry/log.js';
import { createMetrics } from './telemetry/metrics.js';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
const STOP_SIGNALS = ['SIGTERM', 'SIGINT'] as const;

// ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its library loads.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

const settings = settingsOrExit();
const log = createLog(settings.logLevel);
let draining = false;

try {
  const { engine, app } = await start();
  stopOnSignal(engine, app);
} catch (error) {
  log.fatal({ err: error }, 'could not start');
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

async function start(): Promise<{ engine: Engine; app: FastifyInstance }> {
  // Only now, when the environment is set.
  const { createEngine } = await import('./engine/engine.js');
  const metrics = createMetrics();
  const engine = await createEngine({
    ...settings,
    log: log.child({ part: 'engine' }),
    observer: metrics.engineObserver,
  });
  metrics.watchQueue(() => engine.queueDepth());
  try {
    const app = await createApp({
      ...settings,
      limits: settings,
      engine,
      metrics,
      log,
      isDraining: () => draining,
      examples: readExamples(),
      version: packageVersion(),
    });
    const url = await app.listen({ host: settings.host, port: settings.port });
    welcome(url, engine);
    return { engine, app };
  } catch (error) {
    // Its threads would keep the process alive.
    await engine.close();
    throw error;
  }
}

function welcome(url: string, engine: Engine): void {
  const serving = engine.probes().filter((probe) => probe.state === 'serving');
  const { ready, reason } = engine.readiness();
  const models = serving.map(({ name, version, provider = 'cpu' }) => ({ name, version, provider }));
  log.info({ url, docs: `${url}/docs`, models, ready, reason }, 'listening');
  if (process.stdout.isTTY) process.stdout.write(welcomeText(url, models));
}

/** The first signal drains; a second one stops waiting for clients, but never breaks off a running inference. */
function stopOnSignal(engine: Engine, app: FastifyInstance): void {
  const hurry = new AbortController();
  for (const signal of STOP_SIGNALS) {
    process.on(signal, () => {
      if (draining) {
        log.warn({ signal }, 'stopping without waiting for clients');
        hurry.abort();
        app.server.closeAllConnections();
        return;
      }
      draining = true;
      log.info({ signal, drain_delay_ms: settings.drainDelayMs }, 'draining');
      stop(engine, app, hurry.signal).catch((error: unknown) => {
        log.error({ err: error }, 'could not stop cleanly');
        process.exitCode = EXIT_FAILURE;
      });
    });
  }
}

async function stop(engine: Engine, app: FastifyInstance, hurry: AbortSignal): Promise<void> {
  // Exiting in the middle of an inference aborts the process (microsoft/onnxruntime's N-API binding), so this is the
  // last resort, against a run that hangs. It is unref'd: normally the process ends by itself before.
  setTimeout(() => {
    log.fatal('stopping took too long');
    process.exit(EXIT_FAILURE);
  }, settings.drainDelayMs + settings.shutdownTimeoutMs).unref();

  await delay(settings.drainDelayMs, undefined, { signal: hurry }).catch(() => {});
  await app.close();
  await engine.close();
  log.info('stopped');
  for (const signal of STOP_SIGNALS) process.removeAllListeners(signal);
}

function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
