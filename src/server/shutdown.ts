/** Ends the process: after a signal or a hung batch run it drains, closes everything and, if that takes too long, kills itself. */
import { setTimeout as delay } from 'node:timers/promises';

import type { FastifyBaseLogger, FastifyInstance } from 'fastify';

import type { Settings } from '../config/settings.js';
import type { Engine } from '../engine/types.js';
import type { Tracing } from '../telemetry/tracing.js';
import type { RunningClock } from '../running-clock.js';
import { EXIT_FAILURE } from '../terminal/command-line.js';
import type { UnixSocket } from './unix-socket.js';

/** What must be closed at the end. */
export interface RunningService {
  readonly engine: Engine;
  readonly app: FastifyInstance;
  readonly socket: UnixSocket | undefined;
  readonly metricsApp: FastifyInstance | undefined;
  readonly tracing: Tracing | undefined;
}

type ShutdownLimits = Pick<Settings, 'drainDelayMs' | 'shutdownTimeoutMs' | 'inferenceTimeoutMs'>;

/** How long the end of the process waits for the reader of the log. */
export const LOG_FLUSH_MS = 200;
const STOP_SIGNALS = ['SIGTERM', 'SIGINT'] as const;

export class Shutdown {
  /** Resolves with the first reason to stop, even when it comes during the start. */
  readonly requested: Promise<object>;
  readonly #log: FastifyBaseLogger;
  readonly #clock: RunningClock;
  readonly #hangUp = new AbortController();
  #isDraining = false;
  #request: (reason: object) => void = () => {};

  /** Listens for signals. A second signal closes all connections; no signal interrupts an inference. */
  constructor(log: FastifyBaseLogger, clock: RunningClock) {
    this.#log = log;
    this.#clock = clock;
    this.requested = new Promise((resolve) => {
      this.#request = resolve;
    });
    // Only a process that was started with a channel to its parent gets this.
    process.once('disconnect', () => this.#drain({ reason: 'the process that started it has ended' }));
    // The channel itself must not keep the process alive.
    process.channel?.unref();
    for (const signal of STOP_SIGNALS) {
      process.on(signal, () => {
        if (this.#isDraining) this.#hangUp.abort();
        this.#drain({ signal });
      });
    }
  }

  /** True from the first reason to stop. */
  readonly isDraining = (): boolean => this.#isDraining;

  /** Hung runs cannot be stopped, so the process ends once the rest has drained, and its supervisor restarts it. */
  readonly onHang = (reason: string): void => {
    this.#log.fatal({ reason }, 'batch runs hang: the process will exit');
    process.exitCode = EXIT_FAILURE;
    this.#drain({ reason });
  };

  /** The reader of standard output has closed it, as `head` does: a foreground command ends then. */
  readonly onOutputClosed = (): void => this.#drain({ reason: 'standard output was closed' });

  /** Waits for the drain delay, answers the requests that are left, and closes the service. */
  async close(service: RunningService, limits: ShutdownLimits): Promise<void> {
    const { engine, app, socket, metricsApp, tracing } = service;
    const { drainDelayMs, shutdownTimeoutMs, inferenceTimeoutMs } = limits;
    const { signal } = this.#hangUp;
    // A process that has nothing left to do ends before these limits.
    this.#clock.limit(drainDelayMs + shutdownTimeoutMs, () => void this.#kill('stopping took too long'));
    await delay(drainDelayMs, undefined, { signal }).catch(() => {});

    const closeConnections = (): void => {
      app.server.closeAllConnections();
      metricsApp?.server.closeAllConnections();
    };
    signal.addEventListener('abort', closeConnections);
    if (signal.aborted) closeConnections();
    // A closing server no longer checks the timeouts of requests, so slow senders would keep it open.
    const connectionsMs = Math.max(shutdownTimeoutMs / 2, shutdownTimeoutMs - inferenceTimeoutMs);
    this.#clock.limit(connectionsMs, closeConnections);
    await app.connections.quiet();
    await Promise.all([socket?.close(), app.close()]);
    const hungWorkers = await engine.close();
    if (hungWorkers > 0) await this.#kill('a run still hangs');
    await metricsApp?.connections.quiet();
    await metricsApp?.close();
    await tracing?.close();
  }

  #drain(reason: object): void {
    this.#isDraining = true;
    this.#request(reason);
  }

  /** SIGKILL, because exit() aborts a process with a thread in native code, or waits for that thread. */
  async #kill(reason: string): Promise<void> {
    this.#log.fatal({ reason }, 'killed');
    await delay(LOG_FLUSH_MS);
    process.kill(process.pid, 'SIGKILL');
  }
}
