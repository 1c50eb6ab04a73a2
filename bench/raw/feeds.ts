/** Owns the inputs of a raw run: the same samples that the requests hold, padding left out, as the service leaves it out. */
import type { InferenceSession } from 'onnxruntime-node';

import { bytesOf, firstTokens, joinTensors, type Sample, usedTokens } from '../samples.js';

/** Halves go in as their bits. */
const ARRAYS = {
  F16: { type: 'float16', from: (memory: ArrayBuffer) => new Uint16Array(memory) },
  F32: { type: 'float32', from: (memory: ArrayBuffer) => new Float32Array(memory) },
  U8: { type: 'uint8', from: (memory: ArrayBuffer) => new Uint8Array(memory) },
  I64: { type: 'int64', from: (memory: ArrayBuffer) => new BigInt64Array(memory) },
} as const;

/** @param samples gone through round and round until the batch is full. */
export function feedsOf(samples: readonly Sample[], batch: number): InferenceSession.FeedsType {
  const tokens = Math.max(...samples.map(usedTokens));
  const cut = samples.map((sample) => firstTokens(sample, tokens));
  const chosen = Array.from({ length: batch }, (_, index) => cut.at(index % cut.length)).filter(
    (sample) => sample !== undefined,
  );
  const feeds = Object.entries(joinTensors(chosen)).map(([name, tensor]) => {
    if (!isGraphDtype(tensor.dtype)) throw new TypeError(`no graph takes ${name} as ${tensor.dtype}`);
    const { type, from } = ARRAYS[tensor.dtype];
    const data = from(Uint8Array.from(bytesOf(tensor)).buffer);
    // Plain objects: a float16 Tensor is broken on Node 24 and later (microsoft/onnxruntime#26791).
    return [name, { type, dims: tensor.shape, data, location: 'cpu' }];
  });
  return Object.fromEntries(feeds) as InferenceSession.FeedsType;
}

function isGraphDtype(dtype: string): dtype is keyof typeof ARRAYS {
  return Object.hasOwn(ARRAYS, dtype);
}
