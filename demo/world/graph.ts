/**
 * Runs float32 ONNX graphs on the CPU. A run blocks this thread, which is acceptable in a command-line tool; the service runs
 * its graphs in worker threads instead.
 */
import type * as Ort from 'onnxruntime-node';

// ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its library loads.
process.env['ORT_DISABLE_TELEMETRY'] = '1';
const { InferenceSession, Tensor } = await import('onnxruntime-node');

/** A row-major float32 tensor, one row per sample. */
export interface Floats {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** An input of a graph; token ids are I64, masks U8. */
export type Feed = Floats | { readonly data: BigInt64Array | Uint8Array; readonly dims: readonly number[] };

export class Graph {
  readonly #session: Ort.InferenceSession;

  private constructor(session: Ort.InferenceSession) {
    this.#session = session;
  }

  static async open(model: Uint8Array): Promise<Graph> {
    return new Graph(
      await InferenceSession.create(model, {
        executionProviders: ['cpu'],
        // Hides the warnings that constant folding writes for the compressed weights.
        logSeverityLevel: 3,
        extra: { session: { intra_op: { allow_spinning: '0' } } },
      }),
    );
  }

  /** Runs once; every output is float32. */
  async run(feeds: Readonly<Record<string, Feed>>): Promise<Record<string, Floats>> {
    const tensors = Object.entries(feeds).map(([name, { data, dims }]) => [name, tensorOf(data, dims)]);
    const outputs = await this.#session.run(Object.fromEntries(tensors) as Ort.InferenceSession.FeedsType);
    return Object.fromEntries(
      Object.entries(outputs).map(([name, { data, dims }]) => [name, { data: data as Float32Array, dims }]),
    );
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}

function tensorOf(data: Feed['data'], dims: readonly number[]): Ort.Tensor {
  if (data instanceof Float32Array) return new Tensor('float32', data, dims);
  if (data instanceof BigInt64Array) return new Tensor('int64', data, dims);
  return new Tensor('uint8', data, dims);
}
