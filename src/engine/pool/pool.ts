/** Owns the worker threads together: as many as asked for, each holding every probe. */
import { RunTimeoutError } from '../worker/run-timeout.js';
import type { KeyedProbe, MeasuredProbe, WarmUpResult } from '../warm-up/warm-up.js';
import type { WorkerSettings } from '../worker/protocol.js';
import { messageOf } from '../../errors.js';
import { ProbePostponedError, ProbeRefusedError } from '../../probe/folder.js';
import { WorkerThread, WorkerDiedError } from '../worker/worker-thread.js';
import { WorkerSlot, type WorkerSlotOptions } from './worker-slot.js';

export interface WorkerPoolOptions extends Omit<WorkerSlotOptions, 'makeThread' | 'probes' | 'isAlone'> {
  readonly workerUrl: URL;
  readonly settings: WorkerSettings;
  /** Nothing waits for a thread. */
  readonly isQueueEmpty: () => boolean;
}

export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #slots: WorkerSlot[] = [];
  readonly #probes = new Map<number, MeasuredProbe>();

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#slots.length;
  }

  /** Threads that answer sooner or later. */
  get live(): number {
    return this.#slots.filter((slot) => slot.isLive).length;
  }

  get idleCount(): number {
    return this.#slots.filter((slot) => slot.state === 'idle').length;
  }

  get hung(): number {
    return this.#slots.filter((slot) => slot.state === 'hung').length;
  }

  /** A thread that can take a run at once. */
  idle(): WorkerSlot | undefined {
    return this.#slots.find((slot) => slot.state === 'idle');
  }

  /** Adds threads until there are `size`; resolves when each holds every probe or has failed its first try. */
  async grow(size: number): Promise<void> {
    const { workerUrl, settings } = this.#options;
    const added = Array.from(
      { length: size - this.#slots.length },
      () =>
        new WorkerSlot({
          ...this.#options,
          probes: this.#probes,
          isAlone: () => this.#isQuiet(),
          makeThread: () => new WorkerThread(workerUrl, settings),
        }),
    );
    this.#slots.push(...added);
    await Promise.all(added.map((slot) => slot.start()));
  }

  /**
   * Brings a probe into every thread: first into one, where it must prove itself and is measured, then into the others
   * one by one, so that all but one go on answering.
   * @throws {ProbePostponedError} when there is no thread to load it into at the moment.
   * @throws {ProbeRefusedError} when the probe is at fault, and {OrderFailedError} with isDevice when the device is.
   */
  async install(probe: KeyedProbe): Promise<WarmUpResult> {
    const first = await this.#anyLive();
    const prepared = await measureFirst(first, probe);
    const measured = { ...probe, plan: prepared.plan };
    // From here on, a thread that starts takes it along.
    this.#probes.set(probe.key, measured);
    for (const slot of this.#slots) {
      if (slot.isLive) await loadOrReplace(slot, measured);
    }
    return prepared;
  }

  /** Takes a probe out of every thread. */
  uninstall(key: number): void {
    this.#probes.delete(key);
    for (const slot of this.#slots) slot.unload(key);
  }

  /** Lets every thread finish and end. */
  async close(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.close()));
  }

  /** One thread at most has something to do, and nothing waits. */
  #isQuiet(): boolean {
    const working = this.#slots.filter(({ state }) => state !== 'idle' && state !== 'down');
    return working.length <= 1 && this.#options.isQueueEmpty();
  }

  async #anyLive(): Promise<WorkerSlot> {
    const live = this.idle() ?? this.#slots.find((slot) => slot.isLive);
    if (live) return live;
    // A probe that kills the thread it is loaded into must not take the next one with it.
    const [slot] = this.#slots;
    await slot?.start();
    if (!slot?.isLive) throw new ProbePostponedError('no worker thread is up to load it');
    return slot;
  }
}

async function measureFirst(slot: WorkerSlot, probe: KeyedProbe): Promise<WarmUpResult> {
  try {
    return await slot.measure(probe);
  } catch (error) {
    if (error instanceof RunTimeoutError)
      throw new ProbeRefusedError(`selftest: ${error.message}`, { cause: error });
    if (!(error instanceof WorkerDiedError)) throw error;
    throw new ProbeRefusedError(`the worker thread died while loading it: ${error.message}`, {
      cause: error,
    });
  }
}

/** A probe that works in one thread and not in another shows that the other is sick. */
async function loadOrReplace(slot: WorkerSlot, probe: MeasuredProbe): Promise<void> {
  try {
    await slot.load(probe);
  } catch (error) {
    if (!(error instanceof WorkerDiedError || error instanceof RunTimeoutError))
      await slot.replace(messageOf(error));
  }
}
