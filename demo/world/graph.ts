/**
 * Owns the reference world's use of ONNX Runtime: float32 graphs on the CPU. A run blocks its thread, which suits
 * a command-line tool; the service has workers for that and does not come here.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';

/** A float32 tensor of a run: row-major, one row per sample. */
export interface Floats {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** An input of a run; token ids are I64, masks U8. */
export type Feed = Floats | { readonly data: BigInt64Array | Uint8Array; readonly dims: readonly number[] };

/** One loaded graph. */
export class Graph {
  readonly #session: InferenceSession;

  private constructor(session: InferenceSession) {
    this.#session = session;
  }

  static async open(model: Uint8Array): Promise<Graph> {
    return new Graph(
      await InferenceSession.create(model, {
        executionProviders: ['cpu'],
        // Off, because folding the weights of compact files only says that some operators stay as they are.
        logSeverityLevel: 3,
        extra: { session: { intra_op: { allow_spinning: '0' } } },
      }),
    );
  }

  /** Runs once; every output is float32. */
  async run(feeds: Readonly<Record<string, Feed>>): Promise<Record<string, Floats>> {
    const tensors = Object.entries(feeds).map(([name, { data, dims }]) => [name, tensorOf(data, dims)]);
    const outputs = await this.#session.run(Object.fromEntries(tensors) as InferenceSession.FeedsType);
    return Object.fromEntries(
      Object.entries(outputs).map(([name, { data, dims }]) => [name, { data: data as Float32Array, dims }]),
    );
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}

function tensorOf(data: Feed['data'], dims: readonly number[]): Tensor {
  if (data instanceof Float32Array) return new Tensor('float32', data, dims);
  if (data instanceof BigInt64Array) return new Tensor('int64', data, dims);
  return new Tensor('uint8', data, dims);
}
