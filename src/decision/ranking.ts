/** Owns the order of a group's samples: best score first, the earlier sample first among equals. */

/** The samples' indices from the best score to the worst. */
export function bestFirst(scores: readonly number[]): number[] {
  return scores
    .map((score, index) => ({ score, index }))
    .toSorted((left, right) => right.score - left.score || left.index - right.index)
    .map(({ index }) => index);
}

/** The rank of each sample, in the samples' order; 1 is the best. */
export function ranks(scores: readonly number[]): number[] {
  const result = scores.map(() => 0);
  for (const [position, index] of bestFirst(scores).entries()) result[index] = position + 1;
  return result;
}
