/** Images of the reference world: values in [-1, 1], a batch of them as one flat array [rows, ...image]. */

/** The nearest value that an image may have. */
export function clampColour(value: number): number {
  return Math.min(1, Math.max(-1, value));
}

/** The value after a round trip through an image file with 256 levels. */
export function quantizeColour(value: number): number {
  return Math.round((clampColour(value) + 1) * 127.5) / 127.5 - 1;
}

/**
 * Copies some rows of a batch, in the given order.
 * @param size values per row.
 */
export function rowsOf(batch: Float32Array, rows: readonly number[], size: number): Float32Array {
  return joinRows(rows.map((row) => batch.subarray(row * size, (row + 1) * size)));
}

/** Puts arrays one after the other. */
export function joinRows(arrays: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let start = 0;
  for (const array of arrays) {
    joined.set(array, start);
    start += array.length;
  }
  return joined;
}
