/**
 * The program of the process that tests probes: it opens, tests and measures each one as a worker of the service would. If a
 * graph never ends, takes too much memory or crashes, this process is lost and not the service. See prover.ts.
 */
import { writeFileSync } from 'node:fs';

import { messageOf } from '../../errors.js';
import { ProbeRefusedError, readProbeFolder } from '../../probe/folder.js';
import type { ProbeLocation } from '../../probe/locations.js';
import { RunningClock } from '../../running-clock.js';
import type { BatchPlan } from '../warm-up/batch-plan.js';
import { measureProbe } from '../warm-up/warm-up.js';
import type { WorkerSettings } from '../worker/protocol.js';
import { CommandFailedError, WorkerDiedError, WorkerThread } from '../worker/worker-thread.js';

/** The argument of this process, as JSON. */
export interface ProofSettings {
  readonly workerUrl: string;
  readonly worker: WorkerSettings;
  /** The limit of one run, ms. */
  readonly runLimitMs: number;
  /** The operator's limit of a batch. When omitted, the best size is measured. */
  readonly maxBatchSamples?: number | undefined;
}

/** A plan without its methods. */
export interface PlanFigures extends Omit<BatchPlan, 'cost'> {
  readonly slopeMs: number;
  readonly baseMs: number;
}

/** The answer to a location. After a refusal the thread may hang or be dead, so the process takes no further probe. */
export type ProofReply =
  | { readonly manifestSha256: string; readonly plan: PlanFigures }
  | { readonly refusal: string }
  | { readonly unavailableDevice: string };

const KEY = 1;

const settings = JSON.parse(process.argv[2] ?? '{}') as ProofSettings;
const thread = new WorkerThread(new URL(settings.workerUrl), settings.worker, new RunningClock());
// The service has ended. Only SIGKILL ends a process with a busy thread.
process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'));
preferAsVictim();

process.on('message', (location: ProbeLocation) => {
  void prove(location).then((reply) => process.send?.(reply));
});

async function prove(location: ProbeLocation): Promise<ProofReply> {
  try {
    const files = await readProbeFolder(location);
    const limited = {
      load: thread.load.bind(thread),
      unload: thread.unload.bind(thread),
      run: (key: number, slices: Parameters<WorkerThread['run']>[1]) =>
        thread.run(key, slices, settings.runLimitMs),
    };
    const { plan } = await measureProbe(limited, { key: KEY, files }, settings.maxBatchSamples);
    await thread.unload(KEY);
    const { cost, ...figures } = plan;
    const { slopeMs, baseMs } = cost;
    return { manifestSha256: files.manifestSha256, plan: { ...figures, slopeMs, baseMs } };
  } catch (error) {
    if (error instanceof CommandFailedError) return { unavailableDevice: error.message };
    if (error instanceof WorkerDiedError)
      return { refusal: `the worker thread died while loading it: ${error.message}` };
    return { refusal: error instanceof ProbeRefusedError ? error.message : `selftest: ${messageOf(error)}` };
  }
}

/** When the machine runs out of memory, Linux ends this process first. */
function preferAsVictim(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000');
  } catch {
    // The limit of prover.ts still holds.
  }
}
