/** Owns piecewise linear interpolation over ascending knots. */

/**
 * The value at `x` of the line through the knots (xs[i], yAt(i)); beyond the ends, the value of the end.
 * Where several knots share one x, the middle of their values: neither end of a jump is more right than the other.
 * @param xs ascending, at least one.
 */
export function interpolate(xs: readonly number[], yAt: (index: number) => number, x: number): number {
  const last = xs.length - 1;
  const from = firstIndex(xs, (knot) => knot >= x);
  const to = firstIndex(xs, (knot) => knot > x);
  if (from < to) return (yAt(from) + yAt(to - 1)) / 2;
  if (from === 0) return yAt(0);
  if (from > last) return yAt(last);
  const left = at(xs, from - 1);
  const share = (x - left) / (at(xs, from) - left);
  return yAt(from - 1) + share * (yAt(from) - yAt(from - 1));
}

/** The first index whose value holds, or the length; the values that hold must all stand at the end. */
function firstIndex(values: readonly number[], holds: (value: number) => boolean): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(at(values, middle))) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** @throws {RangeError} where there is none. */
export function at(values: readonly number[], index: number): number {
  const value = values[index];
  if (value === undefined) throw new RangeError(`no value at ${index} of ${values.length}`);
  return value;
}
