/** Owns the messages between the engine and its workers. Everything here survives a structured clone. */
import type { TensorSlice } from '../../wire/tensor.js';
import type { Fault } from './fault.js';
import type { ManifestInput } from '../../probe/manifest.js';
import type { PackedSlices } from './packing.js';
import type { Device, Provider } from '../types.js';

/** Given to a worker at its start. */
export interface WorkerSettings {
  readonly device: Device;
  /** Of a session's runs, unless its order says otherwise. */
  readonly intraOpThreads: number;
}

/** Samples that belong together: a whole request, or a piece of one, in the memory of the request's body. */
export interface SampleSlice {
  /** The index of its first sample in the request, for what is said of a sample. */
  readonly first: number;
  readonly samples: number;
  readonly bytes: ArrayBufferLike;
  readonly tensors: ReadonlyMap<string, TensorSlice>;
}

export interface LoadOrder {
  readonly kind: 'load';
  /** Names the probe in later orders. */
  readonly key: number;
  readonly model: Uint8Array;
  readonly inputs: readonly ManifestInput[];
  readonly output: string;
  /** For runs on all cores: so many threads, which spin while a run lasts. */
  readonly allCores?: number | undefined;
}

export interface RunOrder extends PackedSlices {
  readonly kind: 'run';
  readonly key: number;
}

export interface UnloadOrder {
  readonly kind: 'unload';
  readonly key: number;
}

/** Release everything and end. Answered by the thread's exit. */
export interface CloseOrder {
  readonly kind: 'close';
}

export type Order = LoadOrder | RunOrder | UnloadOrder | CloseOrder;

/** An input or output of a graph, in ONNX Runtime's words; a symbolic axis is a string. */
export interface GraphValue {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly (number | string)[];
}

export interface LoadReply {
  readonly provider: Provider;
  /** Why CUDA was not taken although the device is `auto`. */
  readonly fallback?: string;
  readonly inputs: readonly GraphValue[];
  readonly outputs: readonly GraphValue[];
}

export interface RunScores {
  /** One per sample of all parts, in order. Plain numbers: so few are cloned faster than a typed array and its memory. */
  readonly scores: readonly number[];
  /** By the index of the part, whose scores then mean nothing. */
  readonly faults: readonly (readonly [slice: number, fault: Fault])[];
}

export interface RunReply extends RunScores {
  /** Checks, assembly and inference, ms. */
  readonly ms: number;
}

/** What became of one part: scores in order, or why it could not be scored. */
export type SliceResult = { readonly scores: readonly number[] } | { readonly fault: Fault };

export interface Request<O extends Order = Order> {
  readonly call: number;
  readonly order: O;
}

/** `isDevice` tells a device that is not there from a probe that is broken. */
export type Reply =
  | { readonly call: number; readonly value: LoadReply | RunReply | undefined }
  | { readonly call: number; readonly error: string; readonly isDevice: boolean };
