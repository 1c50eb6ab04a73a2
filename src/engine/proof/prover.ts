/**
 * Tests probes in a child process before the service opens them: only there may a graph hang, crash or fill the memory.
 * The process is killed at its limits. See docs/adr/0019-test-probes-in-a-child-process.md.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';

import type { ProbeFiles } from '../../probe/folder.js';
import { ProbeRefusedError } from '../../probe/refused.js';
import type { ResolvedOptions } from '../types.js';
import { BatchPlan } from '../warm-up/batch-plan.js';
import { DeviceUnavailableError, type ProbeContent } from '../warm-up/warm-up.js';
import type { ProofReply, ProofSettings } from './proof-process.js';

const PROGRAM = fileURLToPath(new URL('proof-process.js', import.meta.url));
const MEMORY_CHECK_MS = 50;
/** The share of a container's memory that the process may take; above the limit, the whole container may be killed. */
const CONTAINER_SHARE = 0.5;
const BYTES_PER_KB = 1024;

export class Prover {
  readonly #options: ResolvedOptions;
  #child: ChildProcess | undefined;
  #isServing = false;
  #lastProof: Promise<unknown> = Promise.resolve();

  /** Starts the process, since a service starts with probes to test. */
  constructor(options: ResolvedOptions) {
    this.#options = options;
    this.#child = this.#fork();
  }

  /**
   * Opens, tests and measures a probe, one after the other, so that none disturbs the measurements of another.
   * @param stop keeps a test that waits from beginning. release() ends the one that has begun.
   * @returns the plan that was measured.
   * @throws {ProbeRefusedError} when the probe is at fault, or its test was ended.
   * @throws {DeviceUnavailableError}
   */
  prove(files: ProbeFiles, stop: AbortSignal): Promise<BatchPlan> {
    const proof = this.#lastProof.then(() => this.#prove(files, stop));
    this.#lastProof = proof.catch(() => {});
    return proof;
  }

  /** Ends the process. The service serves from now on, so later processes give way to it. */
  release(): void {
    this.#isServing = true;
    this.#kill();
  }

  async #prove(files: ProbeFiles, stop: AbortSignal): Promise<BatchPlan> {
    stop.throwIfAborted();
    const reply = await this.#replyTo(files);
    if ('measurements' in reply) return new BatchPlan(reply.measurements, this.#options.maxBatchSamples);
    if ('unavailableDevice' in reply) throw new DeviceUnavailableError(reply.unavailableDevice);
    this.#kill();
    throw new ProbeRefusedError(reply.refusal);
  }

  /** The reply of the process, or the refusal when it ends or reaches a limit before. */
  async #replyTo({ manifest, model, selftest }: ProbeFiles): Promise<ProofReply> {
    const { clock, proofTimeoutMs = Infinity, proofMemoryBytes = Infinity } = this.#options;
    const child = this.#child?.connected ? this.#child : this.#fork();
    this.#child = child;
    // Shared memory cannot be sent to a process.
    const bytes = new Uint8Array(selftest.bytes).slice().buffer;
    const files: ProbeContent = { manifest, model, selftest: { ...selftest, bytes } };
    const memoryBytes = memoryLimit(proofMemoryBytes);
    let settle = (_reply: ProofReply): void => {};
    const replied = new Promise<ProofReply>((resolve) => {
      settle = resolve;
    });
    const refuse = (refusal: string): void => settle({ refusal });
    const onExit = (code: number | null, signal: NodeJS.Signals | null): void =>
      refuse(`the process that tested it ended with ${signal ?? `code ${code}`}`);
    const cancelLimit = clock.limit(proofTimeoutMs, () =>
      refuse(`its test took more than ${proofTimeoutMs} ms`),
    );
    const memoryTimer = setInterval(() => {
      if (residentBytes(child) > memoryBytes)
        refuse(`its test took more than ${memoryBytes} bytes of memory`);
    }, MEMORY_CHECK_MS);
    child.on('message', settle).on('exit', onExit);
    child.send(files, (error) => {
      if (error) refuse(`the process that tests it cannot be reached: ${error.message}`);
      else this.#options.onTest?.();
    });
    try {
      return await replied;
    } finally {
      cancelLimit();
      clearInterval(memoryTimer);
      child.off('message', settle).off('exit', onExit);
    }
  }

  #fork(): ChildProcess {
    const { workerUrl, device, intraOpThreads, warmUpTimeoutMs, maxBatchSamples } = this.#options;
    const worker = { device, intraOpThreads };
    const settings: ProofSettings = { workerUrl: workerUrl.href, worker, warmUpTimeoutMs, maxBatchSamples };
    const child = fork(PROGRAM, [JSON.stringify(settings)], {
      // JSON would lose maps, bytes and Infinity.
      serialization: 'advanced',
      // Options such as the debugger's port are for the service alone.
      execArgv: [],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    // It ends with this process and must not keep it alive.
    child.unref();
    child.channel?.unref();
    // A process that cannot be started cannot be reached either.
    child.on('error', () => {});
    if (this.#isServing) giveWay(child);
    return child;
  }

  #kill(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }
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
