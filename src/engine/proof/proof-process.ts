/**
 * The program of the process that tests probes: it opens, tests and measures each one as a worker of the service would. If a
 * graph never ends, takes too much memory or crashes, this process is lost and not the service. See prover.ts.
 */
import { writeFileSync } from 'node:fs';

import { messageOf } from '../../errors.js';
import { RunningClock } from '../../running-clock.js';
import type { Measurement } from '../warm-up/batch-plan.js';
import { DeviceUnavailableError, measureProbe, type ProbeContent } from '../warm-up/warm-up.js';
import type { WorkerSettings } from '../worker/protocol.js';
import { WorkerThread } from '../worker/worker-thread.js';

/** The argument of this process, as JSON. */
export interface ProofSettings {
  readonly workerUrl: string;
  readonly worker: WorkerSettings;
  /** See EngineOptions. */
  readonly warmUpTimeoutMs: number;
  readonly maxBatchSamples?: number | undefined;
}

/** The answer to the files of a probe. After a refusal the thread may hang or be dead, so the process takes no further probe. */
export type ProofReply =
  | { readonly measurements: readonly Measurement[] }
  | { readonly refusal: string }
  | { readonly unavailableDevice: string };

const KEY = 1;

const settings = JSON.parse(process.argv[2] ?? '{}') as ProofSettings;
const thread = new WorkerThread(new URL(settings.workerUrl), settings.worker, new RunningClock());
process.once('disconnect', endNow);
// The service may have ended while this process was starting.
if (!process.connected) endNow();
preferAsVictim();

process.on('message', (content: ProbeContent) => {
  void prove(content).then((reply) => process.send?.(reply));
});

async function prove(content: ProbeContent): Promise<ProofReply> {
  const { warmUpTimeoutMs: runLimitMs, maxBatchSamples } = settings;
  try {
    const probe = { ...content, key: KEY };
    const measurements = await measureProbe({ thread, runLimitMs, probe }, maxBatchSamples);
    await thread.unload(KEY);
    return { measurements };
  } catch (error) {
    const isDevice = error instanceof DeviceUnavailableError;
    return isDevice ? { unavailableDevice: error.message } : { refusal: messageOf(error) };
  }
}

/** The service has ended. Only SIGKILL ends a process with a busy thread. */
function endNow(): void {
  process.kill(process.pid, 'SIGKILL');
}

/** When the machine runs out of memory, Linux ends this process first. */
function preferAsVictim(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000');
  } catch {
    // The limit of prover.ts still holds.
  }
}
