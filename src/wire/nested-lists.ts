/** Turns nested lists of numbers into a tensor: the nesting gives the shape, and ragged lists are refused. */
import { quoted } from '../disclosure.js';
import type { TensorData } from './tensor.js';

/** The element types in which a list of numbers can be stored. */
export type ListDtype = 'F32' | 'U8' | 'I64';

const MAX_RANK = 8;

/** Why a list is not a tensor. */
export class NestedListError extends Error {}

/** @throws {NestedListError} when lists of one level differ in length, or an element is not a number that `dtype` holds. */
export function tensorFromLists(lists: readonly unknown[], dtype: ListDtype): TensorData {
  const shape = shapeOf(lists);
  const values = flatten(lists, shape);
  const misfit = values.find((value) => !fits(value, dtype));
  if (misfit !== undefined) throw new NestedListError(`${misfit} is not a value of ${dtype}`);
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

function flatten(list: readonly unknown[], [length, ...inner]: readonly number[]): number[] {
  if (list.length !== length) {
    throw new NestedListError(`the lists are ragged: one has ${list.length} items, its neighbour ${length}`);
  }
  return list.flatMap((item) => (inner.length === 0 ? numberFrom(item) : flatten(listFrom(item), inner)));
}

function listFrom(item: unknown): readonly unknown[] {
  if (Array.isArray(item)) return item;
  throw new NestedListError(`${quoted(item)} was found where a list is expected`);
}

function numberFrom(item: unknown): number {
  if (typeof item === 'number') return item;
  throw new NestedListError(`${quoted(item)} was found where a number is expected`);
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
