/**
 * The grammar of captions: their parts, their wordings and their paraphrases, as in `diffusion_probe/reference/captions.py`.
 * Both are tested with `test/demo/world/captions.json`.
 */
import { CaptionError } from './caption.js';

const MAX_PHRASES = 3;
/** In one caption. */
export const MAX_THINGS = 4;
/** The number of words of "on a <colour> background". */
const BACKGROUND_WORDS = 4;

export const BACKGROUNDS = ['blue', 'green', 'yellow', 'pink', 'grey', 'white'] as const;
export const PICTOGRAMS =
  'apple ball banana bell book butterfly cactus car cat clock crown dog fish frog guitar hat house key mushroom owl rocket star tree umbrella'.split(
    ' ',
  );
const IRREGULAR_PLURALS: Readonly<Record<string, string>> = {
  butterfly: 'butterflies',
  cactus: 'cacti',
  fish: 'fish',
};
const NUMBERS: readonly (string | undefined)[] = [undefined, undefined, 'two', 'three'];

/** The things of the first phrase lie left of those of the second, or above them. */
export type Relation = 'left' | 'above';
const RELATIONS: Readonly<Record<Relation, string>> = { left: 'left of', above: 'above' };
const MIRRORED_RELATIONS: Readonly<Record<Relation, string>> = { left: 'right of', above: 'below' };

/** One pictogram and its count, from 1 to 3. */
export interface Phrase {
  readonly pictogram: string;
  readonly count: number;
}

export interface Caption {
  readonly phrases: readonly Phrase[];
  /** Between the first two phrases. */
  readonly relation: Relation | undefined;
  readonly background: string;
}

/** How a caption is put into words; all false is the plain wording. */
export interface Wording {
  /** "on a blue background a cat" for "a cat on a blue background". */
  readonly backgroundFirst: boolean;
  /** "two keys right of a cat" for "a cat left of two keys". */
  readonly mirrored: boolean;
  /** "the" for "a" and "an". */
  readonly definite: boolean;
}

export const PLAIN: Wording = { backgroundFirst: false, mirrored: false, definite: false };

/** The caption in English. Without a relation there is nothing to mirror. */
export function captionText({ phrases, relation, background }: Caption, wording: Wording = PLAIN): string {
  const words = phrases.map((phrase) => phraseText(phrase, wording.definite));
  if (relation && wording.mirrored) words.splice(0, 2, words[1]!, words[0]!);
  const [first, second, third] = words;
  const relations = wording.mirrored ? MIRRORED_RELATIONS : RELATIONS;
  const joint = relation ? relations[relation] : 'and';
  const things = [first, second && `${joint} ${second}`, third && `and ${third}`].filter(Boolean).join(' ');
  const place = `on ${article(background, wording.definite)} ${background} background`;
  return wording.backgroundFirst ? `${place} ${things}` : `${things} ${place}`;
}

/** Every text with the meaning of a caption: each order of its phrases in each wording. Its plain text is first. */
export function paraphrases(caption: Caption): string[] {
  const { relation, phrases } = caption;
  const orders = relation ? [phrases] : permutations(phrases);
  const either = [false, true];
  return orders.flatMap((order) =>
    either.flatMap((backgroundFirst) =>
      (relation ? either : [false]).flatMap((mirrored) =>
        either.map((definite) =>
          captionText({ ...caption, phrases: order }, { backgroundFirst, mirrored, definite }),
        ),
      ),
    ),
  );
}

/**
 * Parses a caption in any wording. A mirrored relation is turned round: "a key right of a cat" is "a cat left of a key".
 * @throws {CaptionError} with the offending words, for text outside the grammar.
 */
export function parseCaption(text: string): Caption {
  const { background, rest } = takeBackground(text.trim().toLowerCase().split(/\s+/));
  const phrases: Phrase[] = [takePhrase(rest)];
  let relation: Relation | undefined;
  while (rest.length > 0) {
    const joint = takeConjunction(rest);
    if (joint.relation && phrases.length > 1) {
      throw new CaptionError(`only the first two phrases can be related, found a second '${joint.relation}'`);
    }
    phrases.push(takePhrase(rest));
    if (!joint.relation) continue;
    relation = joint.relation;
    if (joint.mirrored) phrases.reverse();
  }
  if (phrases.length > MAX_PHRASES) {
    throw new CaptionError(`${phrases.length} phrases: expected at most ${MAX_PHRASES}`);
  }
  if (new Set(phrases.map(({ pictogram }) => pictogram)).size < phrases.length) {
    throw new CaptionError('a pictogram is named twice: use a number instead');
  }
  const things = phrases.reduce((sum, { count }) => sum + count, 0);
  if (things > MAX_THINGS) throw new CaptionError(`${things} things: expected at most ${MAX_THINGS}`);
  return { phrases, relation, background };
}

function phraseText({ pictogram, count }: Phrase, definite: boolean): string {
  const number = NUMBERS[count];
  if (number !== undefined) return `${number} ${IRREGULAR_PLURALS[pictogram] ?? `${pictogram}s`}`;
  return `${article(pictogram, definite)} ${pictogram}`;
}

function article(noun: string, definite: boolean): string {
  if (definite) return 'the';
  return /^[aeiou]/.test(noun) ? 'an' : 'a';
}

/** The background, from the end or the beginning of a caption, and the other words. */
function takeBackground(words: readonly string[]): { background: string; rest: string[] } {
  const isBackground = (part: readonly string[]): boolean =>
    part.length === BACKGROUND_WORDS && part[0] === 'on' && part.at(-1) === 'background';
  const last = words.slice(-BACKGROUND_WORDS);
  const isLast = isBackground(last);
  const found = isLast ? last : words.slice(0, BACKGROUND_WORDS);
  if (!isBackground(found)) {
    throw new CaptionError(
      `a caption begins or ends in 'on a <colour> background', not in '${last.join(' ')}'`,
    );
  }
  const [, before = '', background = ''] = found;
  if (!BACKGROUNDS.some((known) => known === background)) {
    throw new CaptionError(`unknown background '${background}': expected one of ${BACKGROUNDS.join(', ')}`);
  }
  if (![article(background, false), article(background, true)].includes(before)) {
    throw new CaptionError(`expected 'a' or 'the' before '${background}', found '${before}'`);
  }
  const rest = isLast ? words.slice(0, -BACKGROUND_WORDS) : words.slice(BACKGROUND_WORDS);
  return { background, rest };
}

/** Removes a conjunction from the front of `words`. */
function takeConjunction(words: string[]): { relation?: Relation; mirrored: boolean } {
  const starts = (conjunction: string): boolean => {
    const { length } = conjunction.split(' ');
    if (words.slice(0, length).join(' ') !== conjunction) return false;
    words.splice(0, length);
    return true;
  };
  if (starts('and')) return { mirrored: false };
  for (const relation of ['left', 'above'] as const) {
    if (starts(RELATIONS[relation])) return { relation, mirrored: false };
    if (starts(MIRRORED_RELATIONS[relation])) return { relation, mirrored: true };
  }
  throw new CaptionError(
    `expected 'and', 'left of', 'right of', 'above' or 'below', found '${words[0] ?? ''}'`,
  );
}

/** Removes a phrase from the front of `words`. */
function takePhrase(words: string[]): Phrase {
  const [number = '', noun = ''] = words.splice(0, 2);
  if (!noun) throw new CaptionError(`expected a number and a pictogram, found '${number}'`);
  for (const pictogram of PICTOGRAMS) {
    for (const count of [1, 2, 3]) {
      const phrase = { pictogram, count };
      if ([false, true].some((definite) => phraseText(phrase, definite) === `${number} ${noun}`))
        return phrase;
    }
  }
  throw new CaptionError(`not a number of pictograms: '${number}' '${noun}'`);
}

/** All orders of some items, the given one first, in the lexicographic order of their places. */
function permutations<Item>(items: readonly Item[]): Item[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, index) =>
    permutations(items.filter((_, other) => other !== index)).map((order) => [item, ...order]),
  );
}
