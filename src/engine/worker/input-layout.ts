/** Owns where an input of a graph has its values: worked out once per probe, asked for with every run. */
import type { ManifestInput } from '../../probe/manifest.js';

const ELEMENT_BYTES = { F16: 2, F32: 4, U8: 1, I64: 8 } as const;

export interface InputLayout {
  readonly input: ManifestInput;
  readonly elementBytes: number;
  readonly hasTokens: boolean;
  /** How often the token axis comes round within one sample; 1 without such an axis. */
  readonly blocks: number;
  /** Of one token in one block; without a token axis, of the whole sample. */
  readonly tokenBytes: number;
}

export function layoutOf(input: ManifestInput): InputLayout {
  const elementBytes = ELEMENT_BYTES[input.dtype];
  const sizes = input.shape.map((axis) => (typeof axis === 'number' ? axis : 1));
  const tokenAxis = input.shape.indexOf('tokens');
  const split = Math.max(0, tokenAxis);
  return {
    input,
    elementBytes,
    hasTokens: tokenAxis !== -1,
    blocks: product(sizes.slice(0, split)),
    tokenBytes: product(sizes.slice(split)) * elementBytes,
  };
}

/** The bytes of one sample of so many tokens. */
export function sampleBytes({ hasTokens, blocks, tokenBytes }: InputLayout, tokens: number): number {
  return blocks * tokenBytes * (hasTokens ? tokens : 1);
}

/** The shape of an input that holds so many samples and tokens. */
export function dimsOf({ input }: InputLayout, samples: number, tokens: number): number[] {
  return input.shape.map((axis) => (axis === 'batch' ? samples : axis === 'tokens' ? tokens : axis));
}

function product(factors: readonly number[]): number {
  return factors.reduce((result, factor) => result * factor, 1);
}
