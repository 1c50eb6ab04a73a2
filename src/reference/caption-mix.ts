/**
 * Owns the mix of captions that the probe was trained and calibrated for, and which of them nobody has trained on.
 * The same mix and the same split as in python/diffusion_probe/reference, where both are frozen.
 */
import { createHash } from 'node:crypto';

const PICTOGRAMS =
  'apple ball banana bell book butterfly cactus car cat clock crown dog fish frog guitar hat house key mushroom owl rocket star tree umbrella'.split(
    ' ',
  );
const BACKGROUNDS = ['blue', 'green', 'yellow', 'pink', 'grey', 'white'];
const IRREGULAR_PLURALS: Readonly<Record<string, string>> = {
  butterfly: 'butterflies',
  cactus: 'cacti',
  fish: 'fish',
};
const NUMBERS: Readonly<Record<number, string>> = { 2: 'two', 3: 'three' };
const RELATIONS = { left: 'left of', above: 'above' } as const;
/** How often a caption has 1, 2, 3 and 4 things. */
const THINGS_WEIGHTS = [0.15, 0.3, 0.3, 0.25];
/** How so many things may fall into groups; what stands there twice is twice as frequent. */
const PARTITIONS = [
  [[1]],
  [[1, 1], [1, 1], [2]],
  [[1, 1, 1], [1, 2], [2, 1], [3]],
  [
    [1, 1, 2],
    [1, 2, 1],
    [2, 1, 1],
    [2, 2],
    [1, 3],
    [3, 1],
  ],
];
const RELATION_CHANCE = 0.6;
/** The buckets, of 100, whose captions were neither trained nor calibrated on. */
const FIRST_TEST_BUCKET = 92;
const BUCKETS = 100n;

/** What a caption asks for. */
export interface CaptionRequest {
  readonly groups: readonly { readonly pictogram: string; readonly count: number }[];
  /** Between the first two groups. */
  readonly relation: keyof typeof RELATIONS | undefined;
  readonly background: string;
}

/** A caption of the frozen mix that nobody has trained on. @param random uniform in [0, 1). */
export function drawTestCaption(random: () => number): string {
  for (;;) {
    const request = drawRequest(random);
    if (bucketOf(request) >= FIRST_TEST_BUCKET) return captionOf(request);
  }
}

/** The request in English. */
export function captionOf({ groups, relation, background }: CaptionRequest): string {
  const [first = '', second, ...others] = groups.map(({ pictogram, count }) => phrase(pictogram, count));
  const joint = relation ? RELATIONS[relation] : 'and';
  const things = [first, second && `${joint} ${second}`, ...others.map((other) => `and ${other}`)];
  return `${things.filter(Boolean).join(' ')} on a ${background} background`;
}

/** From 0 to 99: depends on nothing but what the caption means, so that paraphrases stay in one split. */
export function bucketOf({ groups, relation, background }: CaptionRequest): number {
  const named = groups.map(({ pictogram, count }) => `${count} ${pictogram}`);
  const related = relation ? [`${named[0]} ${relation} ${named[1]}`] : [];
  const unordered = named.slice(relation ? 2 : 0).toSorted();
  const key = `${[...related, ...unordered].join(', ')} | ${background}`;
  return Number(createHash('sha256').update(key).digest().readBigUInt64BE(0) % BUCKETS);
}

function drawRequest(random: () => number): CaptionRequest {
  const counts = oneOf(PARTITIONS[drawThings(random)] ?? [], random);
  const left = [...PICTOGRAMS];
  const groups = counts.map((count) => ({ pictogram: taken(left, random), count }));
  const isRelated = groups.length > 1 && random() < RELATION_CHANCE;
  const relation = isRelated ? oneOf(['left', 'above'] as const, random) : undefined;
  return { groups, relation, background: oneOf(BACKGROUNDS, random) };
}

/** How many things beyond the first. */
function drawThings(random: () => number): number {
  let rest = random();
  for (const [index, weight] of THINGS_WEIGHTS.entries()) {
    if (rest < weight) return index;
    rest -= weight;
  }
  return THINGS_WEIGHTS.length - 1;
}

function oneOf<Value>(values: readonly Value[], random: () => number): Value {
  return values[Math.floor(random() * values.length)]!;
}

/** Takes one value out. */
function taken(values: string[], random: () => number): string {
  return values.splice(Math.floor(random() * values.length), 1)[0]!;
}

function phrase(pictogram: string, count: number): string {
  const number = NUMBERS[count];
  if (number !== undefined) return `${number} ${IRREGULAR_PLURALS[pictogram] ?? `${pictogram}s`}`;
  return `${/^[aeiou]/.test(pictogram) ? 'an' : 'a'} ${pictogram}`;
}
