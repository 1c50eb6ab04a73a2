/** Generates any plain caption of the reference world's grammar, for property tests. */
import fc from 'fast-check';

import { BACKGROUNDS, captionText, PICTOGRAMS } from '../../demo/world/grammar.js';

const MAX_THINGS = 4;

/** "a cat left of two keys and an owl on a blue background": one to three groups, a relation between the first two or none. */
export const anyCaption: fc.Arbitrary<string> = fc
  .record({
    pictograms: fc.uniqueArray(fc.constantFrom(...PICTOGRAMS), { minLength: 1, maxLength: 3 }),
    counts: fc.tuple(anyCount(), anyCount(), anyCount()),
    joint: fc.constantFrom(undefined, 'left' as const, 'above' as const),
    background: fc.constantFrom(...BACKGROUNDS),
  })
  .map(({ pictograms, counts, joint, background }) => {
    const phrases = pictograms.map((pictogram, index) => ({ pictogram, count: counts[index] ?? 1 }));
    return { phrases, relation: phrases.length > 1 ? joint : undefined, background };
  })
  .filter(({ phrases }) => phrases.reduce((sum, { count }) => sum + count, 0) <= MAX_THINGS)
  .map((caption) => captionText(caption));

function anyCount(): fc.Arbitrary<number> {
  return fc.constantFrom(1, 2, 3);
}
