/** Owns how nested lists of numbers become a tensor's elements: their shape is found, and they must not be ragged. */
import type { TensorData } from './safetensors-writer.js';

/** The element types in which a list of numbers can be stored. */
export type ListDtype = 'F32' | 'U8' | 'I64';

const MAX_RANK = 8;

/** Why a list is not a tensor. */
export class NestedListError extends Error {}

/**
 * Stores nested lists as a tensor; the nesting gives the shape.
 * @throws {NestedListError} when lists of one level differ in length, or an element is not a number that `dtype` holds.
 */
export function tensorFromLists(lists: readonly unknown[], dtype: ListDtype): TensorData {
  const shape = shapeOf(lists);
  const values = flatten(lists, shape);
  const wrong = values.find((value) => !fits(value, dtype));
  if (wrong !== undefined) throw new NestedListError(`${wrong} is not a value of ${dtype}`);
  return { dtype, shape, data: store(values, dtype) };
}

function shapeOf(lists: readonly unknown[]): number[] {
  const shape: number[] = [];
  let level: unknown = lists;
  while (Array.isArray(level)) {
    shape.push(level.length);
    if (shape.length > MAX_RANK) throw new NestedListError(`lists are nested deeper than ${MAX_RANK}`);
    level = level[0];
  }
  return shape;
}

function flatten(lists: readonly unknown[], shape: readonly number[]): number[] {
  const flat: unknown[] =
    shape.length === 1
      ? [...lists]
      : (lists as unknown[][]).flatMap((list, index) => {
          if (!Array.isArray(list) || list.length !== shape[1]) {
            throw new NestedListError(
              `the lists are ragged: item ${index} of a level is not a list of ${shape[1]}`,
            );
          }
          return flatten(list, shape.slice(1));
        });
  const wrong = flat.findIndex((value) => typeof value !== 'number');
  if (wrong !== -1)
    throw new NestedListError(`${JSON.stringify(flat[wrong])} stands where a number is expected`);
  return flat as number[];
}

function fits(value: number, dtype: ListDtype): boolean {
  if (dtype === 'F32') return true;
  if (dtype === 'U8') return Number.isInteger(value) && value >= 0 && value <= 255;
  return Number.isSafeInteger(value);
}

function store(values: readonly number[], dtype: ListDtype): ArrayBufferView {
  if (dtype === 'F32') return Float32Array.from(values);
  if (dtype === 'U8') return Uint8Array.from(values);
  return BigInt64Array.from(values, BigInt);
}
