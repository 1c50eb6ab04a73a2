/** The messages between the engine and its worker threads. All of them survive a structured clone. */
import { type ProblemError, problem } from '../../errors.js';
import type { Fault } from '../../probe/check-values.js';
import type { Manifest } from '../../probe/manifest.js';
import type { Device, Placement } from '../types.js';
import type { SampleSlice } from './sample-slice.js';

/** Passed to a worker when it starts. */
export interface WorkerSettings {
  readonly device: Device;
  /** Threads inside one run. */
  readonly intraOpThreads: number;
  /** Whether it serves lone requests: nothing else needs the cores meanwhile. */
  readonly isWide?: boolean;
}

/** A graph to open, with the inputs and the output of its manifest. */
export interface Graph extends Pick<Manifest, 'inputs' | 'output'> {
  readonly model: Uint8Array;
}

/** `close` releases every session and ends the thread; the thread's exit is the only answer to it. */
export type Command =
  | { readonly kind: 'load'; readonly key: number; readonly graph: Graph }
  | { readonly kind: 'run'; readonly key: number; readonly slices: readonly SampleSlice[] }
  | { readonly kind: 'unload'; readonly key: number }
  | { readonly kind: 'close' };

/** The answers come in the order of the commands. */
export type Reply = { readonly value: Placement | RunResult | undefined } | { readonly error: string };

/** The names that ONNX Runtime gives to the dtypes of a manifest. */
export const ORT_TYPES = { F16: 'float16', F32: 'float32', U8: 'uint8', I64: 'int64' } as const;

/** The answer to `run`. */
export interface RunResult {
  /** One per slice, in order. */
  readonly results: readonly SliceResult[];
  /** Checks, assembly and inference, ms. */
  readonly ms: number;
}

/** The outcome of one slice: its scores in order, or why it could not be scored. */
export type SliceResult = { readonly scores: readonly number[] } | { readonly fault: Fault };

export function problemOf({ code, detail, ...extra }: Fault): ProblemError {
  return problem(code, detail, extra);
}
