/**
 * Owns how parts become one batch: laid one after the other, brought to a common token count, masked tokens zeroed.
 * Values are copied at most once, in whole stretches; a part alone without masked tokens is not copied at all.
 */
import type { ManifestInput } from './manifest.js';
import type { GraphArray, ReadyPart } from './part.js';

/** One input of a run, as ONNX Runtime's binding takes it. */
export interface Feed {
  readonly dtype: ManifestInput['dtype'];
  readonly dims: readonly number[];
  readonly data: GraphArray;
}

/** The feeds of one run over all samples of the parts, in order. */
export function assemble(
  parts: readonly ReadyPart[],
  inputs: readonly ManifestInput[],
): Record<string, Feed> {
  const samples = parts.reduce((sum, part) => sum + part.samples, 0);
  const tokens = Math.max(...parts.map((part) => part.usedTokens));
  return Object.fromEntries(
    inputs.map((input) => {
      const dims = input.shape.map((axis) =>
        axis === 'batch' ? samples : axis === 'tokens' ? tokens : axis,
      );
      return [input.name, { dtype: input.dtype, dims, data: lay(parts, input, dims, tokens) }];
    }),
  );
}

function lay(
  parts: readonly ReadyPart[],
  input: ManifestInput,
  dims: readonly number[],
  tokens: number,
): GraphArray {
  const hasTokens = input.shape.includes('tokens');
  const [only] = parts;
  if (parts.length === 1 && only && fitsAsItIs(only, hasTokens, tokens)) {
    const array = arrayOf(only, input);
    // ONNX Runtime takes no shared memory on Node 20.
    if (!(array.buffer instanceof SharedArrayBuffer)) return array;
  }

  const target = zeros(input.dtype, product(dims));
  const perSample = product(dims.slice(1));
  let start = 0;
  for (const part of parts) {
    const source = arrayOf(part, input);
    if (fitsAsItIs(part, hasTokens, tokens)) put(target, source, start);
    else layTokens(part, source, target, start, tokens, axesAround(input));
    start += part.samples * perSample;
  }
  return target;
}

/** Without a token axis there is nothing to pad; with one, every token must be real and none too few. */
function fitsAsItIs(part: ReadyPart, hasTokens: boolean, tokens: number): boolean {
  return !hasTokens || (part.tokens === tokens && !part.hasMasked);
}

/** How often the token axis repeats within a sample, and how many elements lie behind each token. */
interface AxesAround {
  readonly before: number;
  readonly behind: number;
}

function axesAround({ shape }: ManifestInput): AxesAround {
  const fixed = shape.map((axis) => (typeof axis === 'number' ? axis : 1));
  const tokenAxis = shape.indexOf('tokens');
  return { before: product(fixed.slice(0, tokenAxis)), behind: product(fixed.slice(tokenAxis + 1)) };
}

/** Copies each run of real tokens; the rest of the target stays zero. */
function layTokens(
  part: ReadyPart,
  source: GraphArray,
  target: GraphArray,
  targetStart: number,
  tokens: number,
  { before, behind }: AxesAround,
): void {
  for (let sample = 0; sample < part.samples; sample += 1) {
    const runs = runsOfReal(part.mask.subarray(sample * part.tokens, (sample + 1) * part.tokens));
    for (let block = 0; block < before; block += 1) {
      const from = (sample * before + block) * part.tokens;
      const to = targetStart + (sample * before + block) * tokens * behind;
      for (const [first, end] of runs) {
        put(target, source.subarray((from + first) * behind, (from + end) * behind), to + first * behind);
      }
    }
  }
}

/** The stretches of ones in a row of the mask, as [first, end). */
function runsOfReal(row: Uint8Array): [number, number][] {
  const runs: [number, number][] = [];
  let first = row.indexOf(1);
  while (first !== -1) {
    const zero = row.indexOf(0, first);
    const end = zero === -1 ? row.length : zero;
    runs.push([first, end]);
    first = row.indexOf(1, end);
  }
  return runs;
}

function arrayOf(part: ReadyPart, input: ManifestInput): GraphArray {
  const array = part.arrays.get(input.name);
  if (!array) throw new Error(`the part has no ${input.name}`);
  return array;
}

function zeros(dtype: ManifestInput['dtype'], length: number): GraphArray {
  switch (dtype) {
    case 'F16':
      return new Uint16Array(length);
    case 'F32':
      return new Float32Array(length);
    case 'U8':
      return new Uint8Array(length);
    case 'I64':
      return new BigInt64Array(length);
  }
}

function put(target: GraphArray, source: GraphArray, start: number): void {
  if (target instanceof BigInt64Array && source instanceof BigInt64Array) target.set(source, start);
  else if (!(target instanceof BigInt64Array) && !(source instanceof BigInt64Array))
    target.set(source, start);
  else throw new TypeError('whole numbers of 64 bits do not mix with other numbers');
}

function product(factors: readonly number[]): number {
  return factors.reduce((result, factor) => result * factor, 1);
}
