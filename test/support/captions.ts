/** Generates any caption of the reference world's grammar, for property tests. */
import fc from 'fast-check';

const BACKGROUNDS = ['blue', 'green', 'yellow', 'pink', 'grey', 'white'];
const SINGULARS =
  'apple ball banana bell book butterfly cactus car cat clock crown dog fish frog guitar hat house key mushroom owl rocket star tree umbrella'.split(
    ' ',
  );
const IRREGULAR_PLURALS: Readonly<Record<string, string>> = {
  butterfly: 'butterflies',
  cactus: 'cacti',
  fish: 'fish',
};
const NUMBERS = ['two', 'three'];
const RELATIONS = ['left of', 'above'];

/** "a cat left of two keys and an owl on a blue background": one to three groups, a relation between the first two or none. */
export const anyCaption: fc.Arbitrary<string> = fc
  .record({
    pictograms: fc.uniqueArray(fc.constantFrom(...SINGULARS), { minLength: 1, maxLength: 3 }),
    numbers: fc.tuple(anyNumber(), anyNumber(), anyNumber()),
    joint: fc.constantFrom('and', ...RELATIONS),
    background: fc.constantFrom(...BACKGROUNDS),
  })
  .map(({ pictograms, numbers, joint, background }) => {
    const [first, second, third] = pictograms.map((pictogram, index) => phrase(pictogram, numbers[index]));
    const things = [first, second && `${joint} ${second}`, third && `and ${third}`].filter(Boolean);
    return `${things.join(' ')} on a ${background} background`;
  });

function anyNumber(): fc.Arbitrary<string | undefined> {
  return fc.option(fc.constantFrom(...NUMBERS), { nil: undefined });
}

function phrase(pictogram: string, number: string | undefined): string {
  if (number !== undefined) return `${number} ${IRREGULAR_PLURALS[pictogram] ?? `${pictogram}s`}`;
  return `${/^[aeiou]/.test(pictogram) ? 'an' : 'a'} ${pictogram}`;
}
