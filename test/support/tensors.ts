/** Generates tensors of all element types, and metadata, for tests of the wire formats. */
import fc from 'fast-check';

import { DTYPE_BYTES, type Dtype, type TensorData } from '../../src/wire/tensor.js';

const DTYPES = Object.keys(DTYPE_BYTES) as Dtype[];

const tensor = fc
  .record({ dtype: fc.constantFrom(...DTYPES), shape: fc.array(fc.nat(4), { maxLength: 4 }) })
  .chain(({ dtype, shape }) => {
    const size = shape.reduce((product, axis) => product * axis, DTYPE_BYTES[dtype]);
    return fc
      .uint8Array({ minLength: size, maxLength: size })
      .map((data): TensorData => ({ dtype, shape, data }));
  });
const name = fc.string({ unit: 'binary' }).filter((text) => text !== '__metadata__' && text !== 'tensors');

export const anyTensors = fc.dictionary(name, tensor, { maxKeys: 6 });
export const anyMetadata = fc.dictionary(name, fc.string({ unit: 'grapheme' }), { maxKeys: 4 });

/** Tensors without elements, of any number. */
export function emptyTensors(count: number): Record<string, TensorData> {
  const empty: TensorData = { dtype: 'U8', shape: [0], data: new Uint8Array(0) };
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`t${index}`, empty]));
}
