/** Where each value of a graph's input lies. Computed once per probe and used by every run. */
import type { ManifestInput } from '../../probe/manifest.js';
import { DTYPE_BYTES } from '../../wire/tensor.js';

export interface InputLayout {
  readonly input: ManifestInput;
  readonly hasTokens: boolean;
  /** The product of the axes between sample and token; 1 without a token axis. */
  readonly blocks: number;
  /** Bytes of one token in one block; of the whole sample without a token axis. */
  readonly tokenBytes: number;
}

export function layoutOf(input: ManifestInput): InputLayout {
  const tokenAxis = input.shape.indexOf('tokens');
  const size = (axes: ManifestInput['shape']): number =>
    axes.reduce<number>((product, axis) => product * (typeof axis === 'number' ? axis : 1), 1);
  const split = Math.max(0, tokenAxis);
  return {
    input,
    hasTokens: tokenAxis !== -1,
    blocks: size(input.shape.slice(0, split)),
    tokenBytes: size(input.shape.slice(split)) * DTYPE_BYTES[input.dtype],
  };
}

/** The bytes of one sample with the given number of tokens. */
export function sampleBytes({ hasTokens, blocks, tokenBytes }: InputLayout, tokens: number): number {
  return blocks * tokenBytes * (hasTokens ? tokens : 1);
}
