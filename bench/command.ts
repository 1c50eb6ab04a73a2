/** What the two benchmarks' commands share: progress with the elapsed time, and stopping what they started. */
import type { CommandTools } from '../demo/command.js';

interface Stoppable {
  stop(): Promise<void>;
}

/** Stops everything that was started, however the benchmark ends. */
export class Cleanup {
  readonly #started: Stoppable[] = [];
  #isOver = false;

  /** Registers what is started, to be stopped at the end. */
  async keep<Started extends Stoppable>(starting: Started | Promise<Started>): Promise<Started> {
    const started = await starting;
    this.#started.push(started);
    // An interrupted benchmark may have ended before this was started.
    if (this.#isOver) await started.stop();
    return started;
  }

  /** Stops everything, in reverse order. */
  async stopAll(): Promise<void> {
    this.#isOver = true;
    for (const started of this.#started.toReversed()) await started.stop();
  }
}

export interface BenchTools {
  readonly environment: NodeJS.ProcessEnv;
  /** Called with what is measured now. */
  readonly onProgress: (line: string) => void;
  readonly cleanup: Cleanup;
}

/**
 * Measures until the end or a signal, then stops what was started.
 * @throws {Error} when a signal came.
 */
export async function measureUntilSignal<Results>(
  { progress, signal }: CommandTools,
  measure: (tools: BenchTools) => Promise<Results>,
): Promise<Results> {
  const startedAt = performance.now();
  const onProgress = (line: string): void => {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0).padStart(3);
    progress.show(`${seconds} s  ${line}`);
  };
  const cleanup = new Cleanup();
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('interrupted')));
  });
  // ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set.
  const environment = { ...process.env, ORT_DISABLE_TELEMETRY: '1' };
  try {
    return await Promise.race([measure({ environment, onProgress, cleanup }), interrupted]);
  } finally {
    await cleanup.stopAll();
  }
}
