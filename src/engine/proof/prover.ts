/**
 * Tests probes in a child process before the service opens them: only there may a graph hang, crash or fill the memory.
 * The process is killed at its limits. See docs/adr/0019-test-probes-in-a-child-process.md.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';

import { ProbePostponedError, ProbeRefusedError } from '../../probe/folder.js';
import type { ProbeLocation } from '../../probe/locations.js';
import type { RunningClock } from '../../running-clock.js';
import type { BatchPlan } from '../warm-up/batch-plan.js';
import { CostModel } from '../warm-up/cost-model.js';
import { CommandFailedError } from '../worker/worker-thread.js';
import type { ProofReply, ProofSettings } from './proof-process.js';

const PROGRAM = fileURLToPath(new URL('proof-process.js', import.meta.url));
const MEMORY_CHECK_MS = 50;
/** The share of a container's memory that the process may take; above the limit, the whole container may be killed. */
const CONTAINER_SHARE = 0.5;
const BYTES_PER_KB = 1024;

export interface ProverOptions extends Omit<ProofSettings, 'workerUrl'> {
  readonly workerUrl: URL;
  readonly clock: RunningClock;
  /** The time for one probe, ms. */
  readonly proofTimeoutMs: number;
  /** The resident memory of the process. */
  readonly proofMemoryBytes: number;
}

/** What a probe must pass before it is loaded. */
export interface ProbeTest {
  /**
   * Opens, tests and measures a probe.
   * @returns the plan that was measured.
   * @throws {ProbeRefusedError} when the probe is at fault.
   * @throws {ProbePostponedError} when the folder changed meanwhile, or the test was ended by release().
   * @throws {CommandFailedError} with isDeviceUnavailable when the device is at fault.
   */
  prove(location: ProbeLocation, manifestSha256: string): Promise<BatchPlan>;
  /** Ends what a test needs, until the next one. */
  release(): void;
}

export class Prover implements ProbeTest {
  readonly #options: ProverOptions;
  #child: ChildProcess | undefined;
  #isServing = false;
  #lastProof: Promise<unknown> = Promise.resolve();

  /** Starts the process, since a service starts with probes to test. */
  constructor(options: ProverOptions) {
    this.#options = options;
    this.#child = this.#fork();
  }

  /** One probe after the other, so that none disturbs the measurements of another. */
  prove(location: ProbeLocation, manifestSha256: string): Promise<BatchPlan> {
    const proof = this.#lastProof.then(async () => this.#prove(location, manifestSha256));
    this.#lastProof = proof.catch(() => {});
    return proof;
  }

  /** Ends the process. The service serves from now on, so later processes give way to it. */
  release(): void {
    this.#isServing = true;
    this.#kill();
  }

  async #prove(location: ProbeLocation, manifestSha256: string): Promise<BatchPlan> {
    if (!this.#child || hasEnded(this.#child)) this.#child = this.#fork();
    const child = this.#child;
    let reply: ProofReply;
    try {
      reply = await this.#replyOf(child, location);
    } catch (error) {
      if (this.#child !== child) throw new ProbePostponedError('its test was ended', { cause: error });
      this.#kill();
      throw error;
    }
    if ('refusal' in reply) {
      this.#kill();
      throw new ProbeRefusedError(reply.refusal);
    }
    if ('unavailableDevice' in reply) throw new CommandFailedError(reply.unavailableDevice, true);
    if (reply.manifestSha256 !== manifestSha256)
      throw new ProbePostponedError('its files changed while it was tested');
    const { slopeMs, baseMs, ...plan } = reply.plan;
    return { ...plan, cost: new CostModel(slopeMs, baseMs) };
  }

  /** @throws {ProbeRefusedError} when the process ends or reaches a limit before it has replied. */
  async #replyOf(child: ChildProcess, location: ProbeLocation): Promise<ProofReply> {
    const { clock, proofTimeoutMs } = this.#options;
    const memoryBytes = memoryLimit(this.#options.proofMemoryBytes);
    const abort = new AbortController();
    const refuse = (reason: string): void => abort.abort(new ProbeRefusedError(reason));
    const cancelLimit = clock.limit(proofTimeoutMs, () =>
      refuse(`its test took more than ${proofTimeoutMs} ms`),
    );
    const memoryTimer = setInterval(() => {
      if (residentBytes(child) > memoryBytes)
        refuse(`its test took more than ${memoryBytes} bytes of memory`);
    }, MEMORY_CHECK_MS);
    const onExit = (code: number | null, signal: NodeJS.Signals | null): void =>
      refuse(`the process that tested it ended with ${signal ?? `code ${code}`}`);
    child.once('exit', onExit);
    try {
      const reply = once(child, 'message', { signal: abort.signal });
      child.send(location, (error) => {
        if (error) refuse(`the process that tests it cannot be reached: ${error.message}`);
      });
      return ((await reply) as [ProofReply])[0];
    } catch (error) {
      throw abort.signal.aborted ? abort.signal.reason : error;
    } finally {
      cancelLimit();
      clearInterval(memoryTimer);
      child.off('exit', onExit);
    }
  }

  #fork(): ChildProcess {
    const { workerUrl, worker, runLimitMs, maxBatchSamples } = this.#options;
    const settings: ProofSettings = {
      workerUrl: workerUrl.href,
      worker,
      runLimitMs,
      maxBatchSamples,
    };
    const child = fork(PROGRAM, [JSON.stringify(settings)], {
      // JSON would lose Infinity.
      serialization: 'advanced',
      // Options such as the debugger's port are for the service alone.
      execArgv: [],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    // A process that cannot be started or reached has ended, or its limit ends the test.
    child.on('error', () => {});
    if (this.#isServing) giveWay(child);
    return child;
  }

  #kill(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }
}

function hasEnded({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid === undefined || exitCode !== null || signalCode !== null;
}

function giveWay({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_LOW);
  } catch {
    // Without a lower priority the service is slower meanwhile, and otherwise the same.
  }
}

function memoryLimit(proofMemoryBytes: number): number {
  // 0 or undefined where the process is in no container with a limit.
  const containerBytes = process.constrainedMemory() || Infinity;
  return Math.min(proofMemoryBytes, Math.floor(containerBytes * CONTAINER_SHARE));
}

/** 0 where the system has no /proc, or the process has ended. */
function residentBytes({ pid }: ChildProcess): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * BYTES_PER_KB;
  } catch {
    return 0;
  }
}
