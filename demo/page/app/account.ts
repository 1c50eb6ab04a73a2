/** What a drawing cost and what it brought, beside other ways to spend as much. */
import type { Drawing } from './state.js';

export interface Account {
  /** Denoiser calls of the plan. */
  readonly calls: number;
  /** To finish all candidates. */
  readonly allCalls: number;
  /** The best quality among the candidates that were not dropped; undefined until they are finished. */
  readonly best: number | undefined;
  /** Known when the dropped candidates are finished too. */
  readonly others: Comparison | undefined;
}

export interface Comparison {
  /** The expected quality of one random candidate. */
  readonly random: number;
  /** How many whole images the calls of the plan pay for. */
  readonly k: number;
  /** The expected best of so many random candidates. */
  readonly bestOfK: number;
  /** The best of all candidates. */
  readonly bestOfAll: number;
}

export function accountOf({ candidates, alive }: Drawing, totalSteps: number): Account {
  const calls = alive.reduce((sum, count) => sum + count, 0);
  const kept = candidates.flatMap(({ quality }) => quality ?? []);
  const qualities = candidates.flatMap(({ quality, completed }) => quality ?? completed?.quality ?? []);
  const isComplete = candidates.length > 0 && qualities.length === candidates.length;
  return {
    calls,
    allCalls: candidates.length * totalSteps,
    best: kept.length > 0 ? Math.max(...kept) : undefined,
    others: isComplete ? compare(qualities, calls / totalSteps) : undefined,
  };
}

/**
 * @param qualities of all candidates, finished.
 * @param images what was spent, in whole images.
 */
export function compare(qualities: readonly number[], images: number): Comparison {
  const k = Math.min(Math.max(1, images), qualities.length);
  const [low, high] = [Math.floor(k), Math.ceil(k)];
  const share = k - low;
  return {
    random: expectedBest(qualities, 1),
    k,
    // Between two numbers of images, the same share lies between their qualities.
    bestOfK: (1 - share) * expectedBest(qualities, low) + share * expectedBest(qualities, high),
    bestOfAll: Math.max(...qualities),
  };
}

/** The plan in one sentence, beside best-of-k at the same cost and the best of all. */
export function verdictOf(best: number, { bestOfK, bestOfAll }: Comparison): string {
  const gain = best - bestOfK;
  const distance = Math.abs(gain).toFixed(2);
  const beside = distance === '0.00' ? 'as good as' : `${distance} ${gain > 0 ? 'above' : 'below'}`;
  const rest = best === bestOfAll ? 'and the best of all' : 'but the best of all was dropped';
  return `Quality ${beside} best-of-k at that cost, ${rest}.`;
}

/** The expected maximum of `k` of these values, drawn without replacement. */
export function expectedBest(values: readonly number[], k: number): number {
  const descending = values.toSorted((left, right) => right - left);
  let [expected, isNoneBetter] = [0, 1];
  for (const [index, value] of descending.entries()) {
    // The chance that this value is drawn, when none of the better ones was.
    const isDrawn = Math.min(1, k / (values.length - index));
    expected += isNoneBetter * isDrawn * value;
    isNoneBetter *= 1 - isDrawn;
  }
  return expected;
}
