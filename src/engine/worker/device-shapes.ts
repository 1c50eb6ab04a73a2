/**
 * Pads batches for CUDA to a few shapes. ONNX Runtime searches for the fastest convolution again for each shape that is new to
 * a session, and its arena grows with each. See docs/adr/0018-cuda-per-batch.md.
 */
import type { Feed, Feeds } from './batch-assembly.js';

/** A batch has 1, 2, 4, ... samples. */
const SAMPLES_FACTOR = 2;
/** The number of tokens is a multiple of this. */
const TOKENS_STEP = 16;
const BATCH = 'batch';
const TOKENS = 'tokens';

/** The names and sizes of the axes of each input. */
export type InputAxes = Readonly<Record<string, readonly (string | number)[]>>;

export class DeviceShapes {
  readonly #axes: InputAxes;
  /** One host buffer per input and shape, so that the copy to the device always reads the same memory. */
  readonly #buffers = new Map<string, Feed>();

  constructor(axes: InputAxes) {
    this.#axes = axes;
  }

  /** The feeds with zeros after the samples and after the tokens. They are valid until the next batch. */
  pad(feeds: Feeds): Feeds {
    return Object.fromEntries(
      Object.entries(feeds).map(([name, feed]) => [name, this.#padInput(name, feed)]),
    );
  }

  #padInput(name: string, feed: Feed): Feed {
    const axes = this.#axes[name] ?? [];
    const dims = feed.dims.map((size, index) => paddedSize(axes[index], size));
    if (String(dims) === String(feed.dims)) return feed;
    const key = `${name} ${dims.join('x')}`;
    const target = this.#buffers.get(key) ?? { ...feed, dims, data: emptyLike(feed, product(dims)) };
    this.#buffers.set(key, target);
    copyPadded(feed, target, axes.indexOf(TOKENS));
    return target;
  }
}

function paddedSize(axis: string | number | undefined, size: number): number {
  if (axis === BATCH) return SAMPLES_FACTOR ** Math.ceil(Math.log2(size));
  return axis === TOKENS ? Math.ceil(size / TOKENS_STEP) * TOKENS_STEP : size;
}

/** Copies blocks of tokens; without a token axis, everything is one block. */
function copyPadded(source: Feed, target: Feed, tokenAxis: number): void {
  const from = bytesOf(source);
  const to = bytesOf(target);
  const elementBytes = source.data.BYTES_PER_ELEMENT;
  const blockBytes = product(source.dims.slice(tokenAxis)) * elementBytes;
  const paddedBlockBytes = product(target.dims.slice(tokenAxis)) * elementBytes;
  to.fill(0);
  if (tokenAxis === -1) return to.set(from);
  for (let start = 0, at = 0; start < from.length; start += blockBytes, at += paddedBlockBytes)
    to.set(from.subarray(start, start + blockBytes), at);
}

function bytesOf({ data }: Feed): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function emptyLike({ data }: Feed, length: number): Feed['data'] {
  const Values = data.constructor as new (length: number) => Feed['data'];
  return new Values(length);
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((result, size) => result * size, 1);
}
