/** Owns where a mask has real tokens: what of a tensor is to be taken over, and what is padding. Pure. */

/** A stretch of tokens without a gap, [first, end). */
export type TokenRun = readonly [first: number, end: number];

export interface RealTokens {
  /** Up to the last real token of any sample. */
  readonly usedTokens: number;
  /** Of each sample; undefined where all tokens of all samples are real. */
  readonly realTokens: readonly (readonly TokenRun[])[] | undefined;
}

/** @param mask [samples, tokens] */
export function runsOfReal(mask: Uint8Array, tokens: number): RealTokens {
  if (!mask.includes(0)) return { usedTokens: tokens, realTokens: undefined };
  const realTokens: TokenRun[][] = [];
  let usedTokens = 0;
  for (let start = 0; start < mask.length; start += tokens) {
    const runs = runsOfRow(mask, start, start + tokens);
    usedTokens = Math.max(usedTokens, runs.at(-1)?.[1] ?? 0);
    realTokens.push(runs);
  }
  return { usedTokens, realTokens };
}

function runsOfRow(mask: Uint8Array, start: number, end: number): TokenRun[] {
  const runs: TokenRun[] = [];
  let first = -1;
  for (let index = start; index <= end; index += 1) {
    const isReal = index < end && mask[index] === 1;
    if (isReal && first === -1) first = index;
    if (isReal || first === -1) continue;
    runs.push([first - start, index - start]);
    first = -1;
  }
  return runs;
}
