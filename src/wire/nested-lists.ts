/** Turns nested lists of numbers into a tensor, in short steps: the nesting gives the shape, and ragged lists are refused. */
import type { Steps } from './slices.js';
import type { TensorData } from './tensor.js';

/** The element types in which a list of numbers can be stored. */
export type ListDtype = 'F32' | 'U8' | 'I64';

const MAX_RANK = 8;
const STEP_NUMBERS = 2048;
const MAX_SHOWN = 40;

/** Why a list is not a tensor. */
export class NestedListError extends Error {}

/** @throws {NestedListError} when lists of one level differ in length, or an element is not a number that `dtype` holds. */
export function* tensorFromLists(lists: readonly unknown[], dtype: ListDtype): Steps<TensorData> {
  const shape = shapeOf(lists);
  const width = shape.at(-1) ?? 0;
  const rows: (readonly unknown[])[] = [];
  for (const row of rowsOf(lists, shape)) {
    rows.push(row);
    if (rows.length % STEP_NUMBERS === 0) yield;
  }
  const data = newArray(dtype, rows.length * width);
  for (const [index, row] of rows.entries()) {
    for (const [column, item] of row.entries()) {
      const offset = index * width + column;
      const value = checked(item, dtype);
      if (data instanceof BigInt64Array) data[offset] = BigInt(value);
      else data[offset] = value;
      if (offset % STEP_NUMBERS === 0) yield;
    }
  }
  return { dtype, shape, data };
}

/** JSON of a value that was received, in short. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  return JSON.stringify(typeof value === 'string' ? value.slice(0, MAX_SHOWN) : value);
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

/** The lists of the innermost level, in order. */
function* rowsOf(
  list: readonly unknown[],
  [length, ...inner]: readonly number[],
): Generator<readonly unknown[]> {
  if (list.length !== length) {
    throw new NestedListError(`the lists are ragged: one has ${list.length} items, its neighbour ${length}`);
  }
  if (inner.length === 0) yield list;
  else for (const item of list) yield* rowsOf(listFrom(item), inner);
}

function listFrom(item: unknown): readonly unknown[] {
  if (Array.isArray(item)) return item;
  throw new NestedListError(`${shown(item)} was found where a list is expected`);
}

function checked(item: unknown, dtype: ListDtype): number {
  if (typeof item !== 'number')
    throw new NestedListError(`${shown(item)} was found where a number is expected`);
  if (!fits(item, dtype)) throw new NestedListError(`${item} is not a value of ${dtype}`);
  return item;
}

function fits(value: number, dtype: ListDtype): boolean {
  if (dtype === 'F32') return true;
  if (dtype === 'U8') return Number.isInteger(value) && value >= 0 && value <= 255;
  return Number.isSafeInteger(value);
}

function newArray(dtype: ListDtype, length: number): Float32Array | Uint8Array | BigInt64Array {
  if (dtype === 'F32') return new Float32Array(length);
  return dtype === 'U8' ? new Uint8Array(length) : new BigInt64Array(length);
}
