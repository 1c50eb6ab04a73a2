/** A graph on a session of ONNX Runtime, of its library for Node or for browsers. */
import type { InferenceSession, Tensor, TensorConstructor } from 'onnxruntime-node';

import type { Feed, Floats, Graph } from './graph.js';

export class OrtGraph implements Graph {
  readonly #session: InferenceSession;
  readonly #Tensor: TensorConstructor;

  /** @param TensorClass of the same library. */
  constructor(session: InferenceSession, TensorClass: TensorConstructor) {
    this.#session = session;
    this.#Tensor = TensorClass;
  }

  async run(feeds: Readonly<Record<string, Feed>>): Promise<Record<string, Floats>> {
    const tensors = Object.entries(feeds).map(([name, feed]) => [name, this.#tensorOf(feed)] as const);
    const outputs = await this.#session.run(Object.fromEntries(tensors));
    return Object.fromEntries(
      Object.entries(outputs).map(([name, { data, dims }]) => [name, { data: data as Float32Array, dims }]),
    );
  }

  release(): Promise<void> {
    return this.#session.release();
  }

  #tensorOf({ data, dims }: Feed): Tensor {
    if (data instanceof Float32Array) return new this.#Tensor('float32', data, dims);
    if (data instanceof BigInt64Array) return new this.#Tensor('int64', data, dims);
    return new this.#Tensor('uint8', data, dims);
  }
}
