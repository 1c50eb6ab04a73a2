/** Owns made-up samples for tiny probes: random maps whose values every float format holds exactly, and their true score. */
import { numberToBf16, numberToF16 } from '../../src/wire/dtype.js';
import { type TensorData, encodeSafetensors } from '../../clients/typescript/src/safetensors.js';
import { decodeSafetensors } from '../../src/wire/safetensors.js';
import type { DecodedBody } from '../../src/wire/tensor.js';

/** Values per unit of probability: maps are multiples of 1/128, which F32, F16 and BF16 all hold. */
const UNITS = 128;

export interface MapSize {
  readonly layers: number;
  readonly height: number;
  readonly width: number;
}

export interface TestSample {
  readonly size: MapSize;
  /** [layers, tokens, height, width] */
  readonly attention: Float32Array;
  /** [tokens] */
  readonly mask: Uint8Array;
  readonly timestep: number;
}

/** A repeatable stream of numbers in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Samples whose attention at each layer and position sums to at most 1 over the tokens. */
export function randomSamples(size: MapSize, tokens: number, count: number, seed = 1): TestSample[] {
  const random = seededRandom(seed);
  const most = Math.floor(UNITS / tokens);
  const values = size.layers * tokens * size.height * size.width;
  return Array.from({ length: count }, () => ({
    size,
    attention: Float32Array.from({ length: values }, () => Math.floor(random() * (most + 1)) / UNITS),
    mask: new Uint8Array(tokens).fill(1),
    timestep: 778.7,
  }));
}

/** The same sample with masked tokens at its end whose maps hold `filler`. */
export function padded(sample: TestSample, extraTokens: number, filler = 0): TestSample {
  const { layers } = sample.size;
  const area = sample.size.height * sample.size.width;
  const before = sample.mask.length * area;
  const after = before + extraTokens * area;
  const attention = new Float32Array(layers * after).fill(filler);
  for (let layer = 0; layer < layers; layer += 1) {
    attention.set(sample.attention.subarray(layer * before, (layer + 1) * before), layer * after);
  }
  const mask = new Uint8Array(sample.mask.length + extraTokens);
  mask.set(sample.mask);
  return { ...sample, attention, mask };
}

/** What the tiny graph of onnx.ts makes of a sample that has no extra signals. */
export function expectedScore({ size, attention, mask, timestep }: TestSample, bias = 0): number {
  const area = size.height * size.width;
  const kept = mask.reduce((count, real) => count + real, 0);
  const total = attention.reduce((sum, value, index) => {
    const token = Math.floor(index / area) % mask.length;
    return mask[token] === 1 ? sum + value : sum;
  }, 0);
  return total / (kept * size.layers * area) + timestep / 1000 + bias;
}

/** The tensors of samples that have equally many tokens, attention in the dtype asked for. */
export function tensorsOf(
  samples: readonly TestSample[],
  attentionDtype: 'F16' | 'BF16' | 'F32' = 'F16',
): Record<'attention' | 'token_mask' | 'timestep', TensorData> {
  const [first] = samples;
  if (!first) throw new Error('a body needs a sample');
  const { layers, height, width } = first.size;
  const tokens = first.mask.length;
  const attention = new Float32Array(samples.flatMap((sample) => [...sample.attention]));
  return {
    attention: {
      dtype: attentionDtype,
      shape: [samples.length, layers, tokens, height, width],
      data: inDtype(attention, attentionDtype),
    },
    token_mask: {
      dtype: 'U8',
      shape: [samples.length, tokens],
      data: new Uint8Array(samples.flatMap((sample) => [...sample.mask])),
    },
    timestep: {
      dtype: 'F32',
      shape: [samples.length],
      data: new Float32Array(samples.map((sample) => sample.timestep)),
    },
  };
}

/** The bytes of a /score request. */
export function scoreBody(
  samples: readonly TestSample[],
  metadata: Readonly<Record<string, string>> = {},
  attentionDtype: 'F16' | 'BF16' | 'F32' = 'F16',
): Uint8Array<ArrayBuffer> {
  return encodeSafetensors(tensorsOf(samples, attentionDtype), metadata);
}

/** A decoded body made of tensors given by name. */
export function decodedBody(tensors: Readonly<Record<string, TensorData>>): DecodedBody {
  return decodeSafetensors(encodeSafetensors(tensors).buffer);
}

function inDtype(values: Float32Array, dtype: 'F16' | 'BF16' | 'F32'): Float32Array | Uint16Array {
  if (dtype === 'F32') return values;
  return Uint16Array.from(values, dtype === 'F16' ? numberToF16 : numberToBf16);
}
