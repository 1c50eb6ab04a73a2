/** Generates malformed bodies: a valid one with one thing wrong, of every kind. */
import * as fc from 'fast-check';

import { type TensorData, encodeSafetensors } from '../../clients/typescript/src/safetensors.js';
import { PRIVATE } from './private-text.js';
import { TINY_SIZE } from './probe-folder.js';
import { randomSamples, scoreBody, tensorsOf } from './samples.js';

const LENGTH_BYTES = 8;
const SAMPLES = 2;
const TOKENS = 3;

/** A body, and the kind of its error. */
export interface Malformed {
  readonly kind: string;
  readonly body: Buffer;
}

const TENSORS = ['attention', 'token_mask', 'timestep'] as const;

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

type Header = Readonly<Record<(typeof TENSORS)[number], Entry>>;

const good = Buffer.from(scoreBody(randomSamples(TINY_SIZE, TOKENS, SAMPLES)));
const headerEnd = LENGTH_BYTES + Number(good.readBigUInt64LE(0));
const header = JSON.parse(good.toString('utf8', LENGTH_BYTES, headerEnd)) as Header;
const data = good.subarray(headerEnd);
const WRONG_DTYPES = ['F64', 'I32', 'U16', 'BOOL', 'F8', 'f16', '', 3, null];
const SIZES = [-1, 0.5, 2 ** 31, 2 ** 53 - 1, 2 ** 53, 1e300, '2', null];
const NOT_NUMBERS = [0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xffff];
const NO_PROBABILITIES = [0x3c01, 0x4000, 0x7bff, 0x8001, 0xbc00];

const tensor = fc.constantFrom(...TENSORS);

/** Every kind of malformed body; all must be refused. */
export function malformed(maxSamples: number): fc.Arbitrary<Malformed> {
  const kinds: Record<string, fc.Arbitrary<Buffer>> = {
    'header length': fc
      .oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 0n, max: 500n }))
      .filter((length) => length !== BigInt(headerEnd - LENGTH_BYTES))
      .map((length) => {
        const body = Buffer.from(good);
        body.writeBigUInt64LE(length, 0);
        return body;
      }),
    'cut short': fc.nat(good.length - 1).map((length) => good.subarray(0, length)),
    'bytes behind': fc.uint8Array({ minLength: 1, maxLength: 50 }).map((more) => Buffer.concat([good, more])),
    'no JSON': fc
      .tuple(
        fc.integer({ min: LENGTH_BYTES, max: headerEnd - 1 }),
        fc.constantFrom(0, 0x22, 0x5c, 0x80, 0xff),
      )
      .map(([at, byte]) => changed(at, byte))
      .filter((body) => !body.equals(good) && !isJson(body)),
    'duplicate key': tensor.map((name) => {
      const text = JSON.stringify(header);
      return withText(`${text.slice(0, -1)},${JSON.stringify(name)}:${JSON.stringify(header[name])}}`);
    }),
    offsets: fc
      .tuple(tensor, fc.array(fc.oneof(fc.integer(), fc.constantFrom(...SIZES)), { maxLength: 3 }))
      .map(([name, offsets]) => withEntry(name, { data_offsets: offsets })),
    overlap: fc.constantFrom(...TENSORS).map((name) => {
      const [begin, end] = header[name].data_offsets;
      const shift = begin === 0 ? 1 : -1;
      return withEntry(name, { data_offsets: [begin + shift, end + shift] });
    }),
    shape: fc
      .tuple(
        tensor,
        fc.array(fc.oneof(fc.integer({ min: 5, max: 99 }), fc.constantFrom(...SIZES)), { maxLength: 6 }),
      )
      .map(([name, shape]) => withEntry(name, { shape })),
    overflow: tensor.map((name) => withEntry(name, { shape: [2 ** 32, 2 ** 32, 2 ** 32, 2 ** 32] })),
    dtype: fc
      .tuple(tensor, fc.constantFrom(...WRONG_DTYPES))
      .map(([name, dtype]) => withEntry(name, { dtype })),
    'missing tensor': tensor.map((name) => {
      const { [name]: _missing, ...rest } = tensorsOf(randomSamples(TINY_SIZE, TOKENS, SAMPLES));
      return Buffer.from(encodeSafetensors(rest));
    }),
    'extra tensor': fc.string({ minLength: 1, maxLength: 20 }).map((name) => {
      const extra = { dtype: 'F32', shape: [SAMPLES], data: new Float32Array(SAMPLES) } as const;
      const tensors = tensorsOf(randomSamples(TINY_SIZE, TOKENS, SAMPLES));
      return Buffer.from(encodeSafetensors({ ...tensors, [`_${PRIVATE}${name}`]: extra }));
    }),
    'not finite': attentionWith(fc.constantFrom(...NOT_NUMBERS)),
    'no probability': attentionWith(fc.constantFrom(...NO_PROBABILITIES)),
    mask: fc
      .tuple(fc.nat(SAMPLES * TOKENS - 1), fc.integer({ min: 2, max: 255 }))
      .map(([at, value]) => changed(dataStart('token_mask') + at, value)),
    'all masked': fc.constant(changed(dataStart('token_mask'), ...Array<number>(SAMPLES * TOKENS).fill(0))),
    timestep: fc.constantFrom(NaN, Infinity, -Infinity, 0, -778.7, 3e38).map((timestep) => {
      const body = Buffer.from(good);
      body.writeFloatLE(timestep, dataStart('timestep'));
      return body;
    }),
    'empty batch': fc.constant(Buffer.from(encodeSafetensors(emptyTensors()))),
    'one sample too many': fc.constant(Buffer.from(scoreBody(randomSamples(TINY_SIZE, 1, maxSamples + 1)))),
  };
  const all = Object.entries(kinds).map(([kind, bodies]) => bodies.map((body) => ({ kind, body })));
  return fc.oneof(...all);
}

function changed(at: number, ...bytes: readonly number[]): Buffer {
  const body = Buffer.from(good);
  body.set(bytes, at);
  return body;
}

function attentionWith(halves: fc.Arbitrary<number>): fc.Arbitrary<Buffer> {
  const elements = header.attention.shape.reduce((all, size) => all * size, 1);
  return fc.tuple(fc.nat(elements - 1), halves).map(([element, half]) => {
    const body = Buffer.from(good);
    body.writeUInt16LE(half, dataStart('attention') + 2 * element);
    return body;
  });
}

function dataStart(name: keyof Header): number {
  return headerEnd + header[name].data_offsets[0];
}

/** The good body, one member of a tensor's entry replaced. */
function withEntry(name: keyof Header, part: Record<string, unknown>): Buffer {
  return withText(JSON.stringify({ ...header, [name]: { ...header[name], ...part } }));
}

function withText(text: string): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
  return Buffer.concat([length, Buffer.from(text), data]);
}

function isJson(body: Buffer): boolean {
  try {
    JSON.parse(body.toString('utf8', LENGTH_BYTES, headerEnd));
    return true;
  } catch {
    return false;
  }
}

function emptyTensors(): Record<string, TensorData> {
  const tensors = Object.entries(tensorsOf(randomSamples(TINY_SIZE, TOKENS, SAMPLES)));
  return Object.fromEntries(
    tensors.map(([name, { dtype, shape }]) => [
      name,
      { dtype, shape: [0, ...shape.slice(1)], data: new Uint8Array() },
    ]),
  );
}
