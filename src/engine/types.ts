/**
 * Owns what the engine shows to the rest of the service: its interface, and the hooks it reports through.
 * Nothing here knows of HTTP, of Prometheus or of decisions.
 */
import type { DecodedBody } from '../wire/tensor.js';
import type { Manifest } from '../probe/manifest.js';

/** Where inference really runs, whatever was asked for. */
export type Provider = 'cpu' | 'cuda';

/** Where inference is asked to run; `auto` takes CUDA where it works and the CPU elsewhere. */
export type Device = 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;

/** A probe that is loaded and answers. */
export interface ServedProbe {
  readonly name: string;
  readonly version: number;
  readonly provider: Provider;
  readonly manifest: Manifest;
}

/** What was found out about a probe's batches by running some, and since then. */
export interface BatchingStatus {
  /** The size from which larger batches bring next to nothing. */
  readonly bestSamples: number;
  /** Samples times the tokens of the longest, in one batch at most; undefined where the operator has set the size. */
  readonly maxPaddedTokens: number | undefined;
  /** A batch takes msPerPaddedToken · samples · tokens + msPerRun, by the measurements at warm-up. */
  readonly msPerPaddedToken: number;
  readonly msPerRun: number;
  /** How much slower runs are now than at warm-up. */
  readonly pace: number;
}

/** What became of one folder of the model repository. */
export interface ProbeStatus {
  readonly name: string;
  readonly version: number;
  /** `serving`: what the bare name means. `available`: older, by `name@version`. `refused`: see `reason`. */
  readonly state: 'serving' | 'available' | 'refused';
  /** Why what lies in the folder was refused. A probe that was loaded from it before goes on. */
  readonly reason?: string;
  readonly provider?: Provider;
  /** Why CUDA was not taken although the device is `auto`. */
  readonly fallback?: string;
  readonly batching?: BatchingStatus;
  /** SHA-256 of model.onnx, for probes that are loaded. */
  readonly sha256?: string;
  readonly manifest?: Manifest;
}

export interface ScoreOptions {
  /** Aborted when nobody waits for the answer any more. */
  readonly signal?: AbortSignal;
  /** The moment, on the clock of performance.now() in ms, from which the answer is worthless. */
  readonly deadline?: number;
  /** Handed back with each run that holds samples of this request, to EngineOptions.onRun. */
  readonly origin?: object;
}

/** One run of a worker, as it is told to somebody who follows single requests. */
export interface BatchRun {
  readonly probe: ServedProbe;
  readonly samples: number;
  /** Its samples times the tokens of its longest. */
  readonly paddedTokens: number;
  /** On the clock of performance.now(), ms. */
  readonly from: number;
  readonly to: number;
  readonly isFault: boolean;
  /** Of the requests whose samples it held, where they have one. */
  readonly origins: readonly object[];
}

export interface EngineResult {
  /** Finite, one per sample, in the order of the request. */
  readonly scores: Float32Array;
  /** From arrival to the start of the last run that was needed, ms. */
  readonly queueMs: number;
  /** The longest run that was needed, ms; assembly and checks included. */
  readonly inferenceMs: number;
  /** Samples in the largest batch that this request was part of. */
  readonly batchSamples: number;
}

export interface Readiness {
  readonly ready: boolean;
  readonly reason?: string;
}

export interface QueueDepth {
  readonly samples: number;
  readonly bytes: number;
}

/** What a look at the model repository has changed. */
export interface ProbeChange {
  readonly name: string;
  readonly version: number;
  readonly change: 'loaded' | 'replaced' | 'refused' | 'unloaded';
  /** Of a refusal. */
  readonly reason?: string;
}

export interface Engine {
  /** Every folder of the repository, newest version first within a name. */
  probes(): ProbeStatus[];
  /**
   * Finds a probe by `name` (its newest valid version) or `name@version`; undefined means the default one.
   * @throws {ProblemError} model_not_found
   */
  resolve(reference: string | undefined): ServedProbe;
  /**
   * Scores one decoded body, whose memory goes to the engine: `body.bytes` must not be used afterwards.
   * Rejects with a ProblemError (overloaded, unready, internal, deadline, or a 422 for values found bad),
   * or with the signal's reason once the signal has fired.
   */
  score(probe: ServedProbe, body: DecodedBody, options?: ScoreOptions): Promise<EngineResult>;
  readiness(): Readiness;
  /** What waits; what is running has left the queue. */
  queueDepth(): QueueDepth;
  /**
   * How long it may well take until a request has its scores of which only the headers have come, ms; 0 where a thread is idle.
   * @param receiving requests that are being received before it.
   */
  predictedLatencyMs(receiving: number): number;
  /**
   * Looks at the model repository now and takes over what has changed; resolves when that is done.
   * @throws {ProblemError} unready, when the repository cannot be read
   */
  reload(): Promise<ProbeChange[]>;
  /**
   * Takes no more work, finishes what it has, then lets the workers end by themselves.
   * @returns how many are left behind because their run hangs: such a process can only be killed.
   */
  close(): Promise<number>;
}

/**
 * Why an entry was dropped before it ran, or while nobody needed it any more: its client has gone, its deadline has
 * passed, or it was predicted to pass.
 */
export type SkipReason = 'aborted' | 'deadline' | 'predicted';

/** Hooks for metrics. They are called often: keep them cheap, and never let them throw. */
export interface EngineObserver {
  batchRun(run: {
    readonly model: string;
    readonly version: number;
    readonly samples: number;
    readonly ms: number;
  }): void;
  entrySkipped(reason: SkipReason): void;
  workerRestarted(): void;
  probeLoaded(probe: {
    readonly name: string;
    readonly version: number;
    readonly provider: Provider;
    readonly sha256: string;
  }): void;
  probeUnloaded(probe: {
    readonly name: string;
    readonly version: number;
    readonly provider: Provider;
    readonly sha256: string;
  }): void;
  probeRefused(probe: { readonly name: string; readonly version: number; readonly reason: string }): void;
}

/** The part of a logger that the engine needs; pino's fits. */
export interface EngineLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface EngineOptions {
  readonly modelsDir: string;
  readonly device: Device;
  /** Threads, each with its own sessions; left out: one per core on CPU, one on CUDA. */
  readonly workers?: number | undefined;
  /** Threads inside one run; left out: the cores shared evenly among the workers. */
  readonly intraOpThreads?: number | undefined;
  /** Samples in one run at most; left out: the best size is found out for each probe. */
  readonly maxBatchSamples?: number | undefined;
  /** How long an idle worker waits for a fuller batch, µs; left out: not at all. */
  readonly maxQueueDelayUs?: number;
  /** Samples that may wait, over all probes. */
  readonly maxQueueSamples: number;
  /** Bytes that may wait, over all probes. */
  readonly maxQueueBytes: number;
  /** A run that takes longer is taken for hung, ms; left out: never. */
  readonly inferenceTimeoutMs?: number;
  /** The same limit for cold runs at warm-up, if larger, ms; 10,000 when omitted. Only tests set it. */
  readonly warmUpTimeoutMs?: number;
  /** Called when a run hangs: the process should be replaced. */
  readonly onHang?: (reason: string) => void;
  /** Told of each run with requests that have an origin, before they are answered; left out: runs are not followed. */
  readonly onRun?: ((run: BatchRun) => void) | undefined;
  /** How often the model repository is looked at for changes, ms; left out or 0: only when told to. */
  readonly modelsPollMs?: number;
  /** What an undefined reference means, `name` or `name@version`; left out: the only probe there is. */
  readonly defaultModel?: string;
  readonly log: EngineLog;
  readonly observer: EngineObserver;
  /** The workers' module; another one is of use to tests alone. */
  readonly workerUrl?: URL;
}
