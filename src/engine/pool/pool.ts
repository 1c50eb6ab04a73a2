/** The worker threads of the engine; each holds every probe. */
import { messageOf } from '../../errors.js';
import { ProbePostponedError, ProbeRefusedError } from '../../probe/folder.js';
import type { RunningClock } from '../../running-clock.js';
import type { MeasuredProbe } from '../warm-up/warm-up.js';
import type { SessionInfo, WorkerSettings } from '../worker/protocol.js';
import { RunTimeoutError, WorkerDiedError, WorkerThread } from '../worker/worker-thread.js';
import { WorkerSlot, type WorkerSlotOptions } from './worker-slot.js';

/** More threads that hang would leave too little of the cores and the memory. */
const MAX_HUNG = 1;

export interface WorkerPoolOptions extends Omit<WorkerSlotOptions, 'makeThread' | 'probes' | 'onHang'> {
  readonly workerUrl: URL;
  readonly settings: WorkerSettings;
  readonly clock: RunningClock;
  /** Called when so many threads hang that the process should be replaced. */
  readonly onHang: (reason: string) => void;
}

export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #slots: WorkerSlot[] = [];
  readonly #probes = new Map<number, MeasuredProbe>();
  readonly #hung = new Set<WorkerThread>();

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#slots.length;
  }

  /** Threads that take work, now or after what they are doing. */
  get live(): number {
    return this.#slots.filter((slot) => slot.isLive).length;
  }

  get idleCount(): number {
    return this.#slots.filter((slot) => slot.state === 'idle').length;
  }

  /** Threads that were given up because a run hangs in them. */
  get hung(): number {
    return this.#hung.size;
  }

  /** A thread that can take a run at once. */
  idle(): WorkerSlot | undefined {
    return this.#slots.find((slot) => slot.state === 'idle');
  }

  /** Adds threads until there are `size`; resolves when each is idle or its first start has failed. */
  async grow(size: number): Promise<void> {
    const { workerUrl, settings, clock } = this.#options;
    const added = Array.from(
      { length: size - this.#slots.length },
      () =>
        new WorkerSlot({
          ...this.#options,
          probes: this.#probes,
          onHang: (thread, error) => this.#giveUp(thread, error),
          makeThread: () => new WorkerThread(workerUrl, settings, clock),
        }),
    );
    this.#slots.push(...added);
    await Promise.all(added.map((slot) => slot.start()));
  }

  /**
   * Loads a probe into every thread: first into one, then into the others one by one, so that all but one continue to score.
   * @throws {ProbePostponedError} when no thread can load it at the moment.
   * @throws {ProbeRefusedError} when the probe is at fault.
   * @throws {CommandFailedError} with isDeviceUnavailable when the device is at fault.
   */
  async install(probe: MeasuredProbe): Promise<SessionInfo> {
    const session = await loadFirst(await this.#anyLive(), probe);
    // Every thread that starts from here on loads it too.
    this.#probes.set(probe.key, probe);
    for (const slot of this.#slots) {
      if (slot.isLive && !slot.hasLoaded(probe.key)) await loadOrReplace(slot, probe);
    }
    return session;
  }

  /** Unloads a probe from every thread. */
  uninstall(key: number): void {
    this.#probes.delete(key);
    for (const slot of this.#slots) slot.unload(key);
  }

  /** Lets every thread finish and end, except those that hang. */
  async close(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.close()));
  }

  /** See docs/adr/0020-replace-a-hung-worker.md. */
  #giveUp(thread: WorkerThread, { run, message }: RunTimeoutError): void {
    this.#hung.add(thread);
    thread.abandon();
    const onEnd = (): void => void thread.close().then(() => this.#hung.delete(thread));
    run.then(onEnd, onEnd);
    if (this.#hung.size > MAX_HUNG) this.#options.onHang(message);
  }

  async #anyLive(): Promise<WorkerSlot> {
    const live = this.idle() ?? this.#slots.find((slot) => slot.isLive);
    if (live) return live;
    // A probe may have killed the thread that loaded it; the next probe is then loaded into its replacement.
    const [slot] = this.#slots;
    await slot?.start();
    if (!slot?.isLive) throw new ProbePostponedError('no worker thread is up to load it');
    return slot;
  }
}

async function loadFirst(slot: WorkerSlot, probe: MeasuredProbe): Promise<SessionInfo> {
  try {
    return await slot.load(probe);
  } catch (cause) {
    if (cause instanceof RunTimeoutError)
      throw new ProbeRefusedError(`selftest: ${cause.message}`, { cause });
    if (cause instanceof WorkerDiedError)
      throw new ProbeRefusedError(`the worker thread died while loading it: ${cause.message}`, { cause });
    throw cause;
  }
}

/** A thread is replaced when it fails to load a probe that works in another thread. */
async function loadOrReplace(slot: WorkerSlot, probe: MeasuredProbe): Promise<void> {
  try {
    await slot.load(probe);
  } catch (error) {
    if (!(error instanceof WorkerDiedError || error instanceof RunTimeoutError))
      await slot.replace(messageOf(error));
  }
}
