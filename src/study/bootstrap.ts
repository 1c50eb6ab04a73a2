/** Owns intervals by resampling: how far a figure would move with other captions. */
import { uniformNumbers } from '../reference/uniform.js';

const REPEATS = 1000;
const TAIL = 0.025;

/**
 * The 95% percentile interval of a figure over units drawn with replacement; the same units always give the same.
 * Draws for which the figure does not exist (NaN) are left out.
 * @returns null when it never exists.
 */
export function bootstrapInterval<Unit>(
  units: readonly Unit[],
  figure: (units: readonly Unit[]) => number,
): readonly [number, number] | null {
  const random = uniformNumbers('bootstrap');
  const draw = (): Unit => units[Math.floor(random() * units.length)]!;
  const figures = Array.from({ length: REPEATS }, () => figure(units.map(draw)))
    .filter(Number.isFinite)
    .toSorted((left, right) => left - right);
  if (figures.length === 0) return null;
  const at = (share: number): number => figures[Math.round(share * (figures.length - 1))]!;
  return [at(TAIL), at(1 - TAIL)];
}
