/** Declares the engine's interface to the rest of the service: its methods, its options, and the hooks that it calls. */
import type { ProbeFiles } from '../probe/folder.js';
import type { ProbeVersion } from '../probe/locations.js';
import type { RunningClock } from '../running-clock.js';
import type { DecodedBody } from '../wire/tensor.js';
import type { BatchPlan } from './warm-up/batch-plan.js';

export type Provider = 'cpu' | 'cuda';

export interface Placement {
  readonly provider: Provider;
  /** Why CUDA cannot be used, although the device is not `cpu`. */
  readonly fallback?: string;
}

/** Where inference is to run: `auto` takes CUDA if it works, else the CPU. */
export type Device = 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;

/** A probe that has passed its test; every thread uses the same plan. */
export interface MeasuredProbe extends ProbeVersion, ProbeFiles {
  /** Identifies its sessions in the workers. */
  readonly key: number;
  readonly plan: BatchPlan;
}

export interface ServedProbe extends MeasuredProbe, Placement {}

/** The state of one folder of the model repository. */
export interface ProbeStatus extends ProbeVersion {
  /** `serving`: requests by name use it. `available`: requests by `name@version` use it. `refused`: see `reason`. */
  readonly state: 'serving' | 'available' | 'refused';
  /** Why the content of the folder was refused. A probe that was loaded from it before still serves. */
  readonly reason?: string;
  /** The probe that was loaded from the folder. */
  readonly probe?: ServedProbe;
}

export interface ScoreOptions {
  /** Of this request alone. Aborted when the answer is not needed any more; with a deadline, also when it passes. */
  readonly signal?: AbortSignal;
  /** When the answer becomes useless, on the clock of performance.now(), ms. */
  readonly deadline?: number;
  /** Who sends the request: tenants take turns, and share the queue. One unnamed tenant when omitted. */
  readonly tenant?: string;
  /** Identifies the request in BatchRun. */
  readonly origin?: object;
}

export interface BatchRun {
  readonly probe: ServedProbe;
  readonly samples: number;
  /** Its samples times the tokens of its longest. */
  readonly paddedTokens: number;
  /** On the clock of performance.now(), ms. */
  readonly from: number;
  readonly to: number;
  /** Checks, assembly and inference, ms; undefined when it has failed. */
  readonly ms: number | undefined;
  /** The origins of the requests whose samples it held. */
  readonly origins: readonly object[];
}

export interface EngineResult {
  /** Finite, one per sample, in the order of the request. */
  readonly scores: Float32Array;
  /** From arrival to the start of the last run that held its samples, ms. */
  readonly queueMs: number;
  /** The longest run that held its samples, ms; checks and the assembly of the batch included. */
  readonly inferenceMs: number;
  /** Samples in the largest batch that held its samples. */
  readonly batchSamples: number;
}

export interface QueueDepth {
  readonly samples: number;
  readonly bytes: number;
}

/** Why the queue accepts no request: it is full, or its tenant already has its share while others wait. */
export type QueueRefusal = 'overloaded' | 'tenant_limit';

/** A request of which only the headers have come. */
export interface ExpectedRequest {
  readonly tenant: string;
  /** The requests that are being received, by tenant; each counts as the share of it that has come. */
  readonly receiving: readonly { readonly tenant: string; readonly requests: number }[];
  /** The probe that it is likely to be for; undefined when that is not known. */
  readonly probe: ServedProbe | undefined;
}

/** A change that a scan of the model repository has found. */
export interface ProbeChange extends ProbeVersion {
  readonly change: 'loaded' | 'replaced' | 'refused' | 'unloaded';
  /** Why it was refused. */
  readonly reason?: string;
}

export interface Engine {
  /** Every folder of the repository, newest version first within a name. */
  probes(): ProbeStatus[];
  /**
   * Finds a probe by `name` (its newest loaded version) or `name@version`; undefined means the default one.
   * @throws {ProblemError} model_not_found
   */
  resolve(reference: string | undefined): ServedProbe;
  /**
   * Scores one decoded body. `body.bytes` must not be changed before the promise resolves; if it rejects, a worker may still be
   * reading it.
   * @throws {ProblemError} overloaded, tenant_limit, unready, internal, deadline, or a 422 for a bad value; once the signal has fired, the
   * signal's reason.
   */
  score(probe: ServedProbe, body: DecodedBody, options?: ScoreOptions): Promise<EngineResult>;
  readiness(): { readonly ready: boolean; readonly reason?: string };
  /** The samples and bytes that wait for a batch; those in a run are not counted. */
  queueDepth(): QueueDepth;
  /** Why the queue would not accept a request of so many samples and bytes now. */
  queueRefusal(tenant: string, samples: number, bytes: number): QueueRefusal | undefined;
  /**
   * Predicts, with a margin, how long a request will take, ms; 0 when a worker is idle, and for a tenant that has less in the
   * queue than the others on average.
   */
  predictedLatencyMs(request: ExpectedRequest): number;
  /**
   * Scans the model repository now and applies all changes; resolves when they are applied.
   * @throws {ProblemError} unready, when the repository cannot be read
   */
  reload(): Promise<ProbeChange[]>;
  /**
   * Accepts no more requests, answers those that it has, then lets the workers end.
   * @returns how many workers hang and are left behind: such a process can only be killed.
   */
  close(): Promise<number>;
}

/**
 * Why a request was dropped: its signal was aborted, its deadline has passed or was predicted to pass, or a request of a
 * tenant that holds less of the full queue took its place.
 */
export type SkipReason = 'aborted' | 'deadline' | 'predicted' | 'displaced';

/** Hooks for metrics and traces. They are called often, so they must be cheap, and they must not throw. */
export interface EngineObserver {
  /** Called before the requests of the run are answered. */
  batchRun(run: BatchRun): void;
  entrySkipped(reason: SkipReason): void;
  workerRestarted(): void;
  probeLoaded(probe: Pick<ServedProbe, 'name' | 'version' | 'provider' | 'sha256'>): void;
  probeUnloaded: EngineObserver['probeLoaded'];
  probeRefused(probe: ProbeVersion & { readonly reason: string }): void;
}

/** The methods of a pino logger that the engine calls. */
export interface EngineLog {
  info(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface EngineOptions {
  readonly modelsDir: string;
  readonly device: Device;
  /** Worker threads, each with its own sessions. When omitted: one per core on the CPU, one on CUDA. */
  readonly workers?: number | undefined;
  /** Threads inside one run. When omitted: the cores divided by the workers, and up to four for a lone request. */
  readonly intraOpThreads?: number | undefined;
  /** The most samples in one run. When omitted: the best size, measured for each probe. */
  readonly maxBatchSamples?: number | undefined;
  /** How long an idle worker waits for a fuller batch, µs; 0 when omitted. */
  readonly maxQueueDelayUs?: number;
  /** The most samples that may wait, over all probes. */
  readonly maxQueueSamples: number;
  /** The most bytes that may wait, over all probes. */
  readonly maxQueueBytes: number;
  /** Measures the limits below. */
  readonly clock: RunningClock;
  /** The most of both that one tenant may hold while others wait, 0 to 1; 1 when omitted. */
  readonly tenantQueueShare?: number;
  /** A run that takes longer counts as hung, ms; never when omitted. */
  readonly inferenceTimeoutMs?: number;
  /** The same limit for cold runs at warm-up, if larger, ms; 10,000 when omitted. Only tests set it. */
  readonly warmUpTimeoutMs?: number;
  /** The limits of the process that tests a probe before it is loaded: for one probe, ms, and its memory; none when omitted. */
  readonly proofTimeoutMs?: number;
  readonly proofMemoryBytes?: number;
  /** Called when the test of a probe begins: this process has time meanwhile. */
  readonly onTest?: () => void;
  /** Called during the start: how many probes are loaded or refused, of those that were found. */
  readonly onStartProgress?: (done: number, total: number) => void;
  /** Called when a second run hangs while the first still does. The process should then be replaced. */
  readonly onHang?: (reason: string) => void;
  /** How often the model repository is scanned for changes, ms. 0 or omitted: only by reload(). */
  readonly modelsPollMs?: number;
  /** The probe for requests that name none, `name` or `name@version`. When omitted: see ProbeRegistry. */
  readonly defaultModel?: string;
  readonly log: EngineLog;
  readonly observer: EngineObserver;
  /** The module that workers run; only tests set it. */
  readonly workerUrl?: URL;
}

export type ProofOptions = Omit<EngineOptions, 'modelsDir' | 'log' | 'observer'>;

/** Its options with the defaults that depend on the machine. */
export interface ResolvedOptions extends ProofOptions {
  readonly workers: number;
  readonly intraOpThreads: number;
  /** The threads of a lone request's run, if more than those of the others. */
  readonly wideThreads?: number | undefined;
  readonly warmUpTimeoutMs: number;
  readonly workerUrl: URL;
}
