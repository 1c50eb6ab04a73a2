/** Captions of the reference world as token ids. */
import type { Description } from './description.js';

/** The reference world cannot read a caption. The message says why, and which words it knows. */
export class CaptionError extends Error {}

const EXAMPLE = 'a cat left of two keys on a blue background';
const SUGGESTIONS = 3;

/**
 * Token ids of a caption, the begin token first.
 * @throws {CaptionError} for a word outside the vocabulary, or too many words.
 */
export function tokenize(caption: string, { vocabulary, begin_id, max_tokens }: Description): number[] {
  const words = caption.trim().toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) throw new CaptionError(`the caption is empty; for example: "${EXAMPLE}"`);
  const ids = words.map((word) => {
    const id = word.startsWith('<') ? -1 : vocabulary.indexOf(word);
    if (id === -1) throw new CaptionError(unknownWord(word, vocabulary));
    return id;
  });
  if (ids.length + 1 > max_tokens) {
    throw new CaptionError(`the caption has ${ids.length} words; at most ${max_tokens - 1} are allowed`);
  }
  return [begin_id, ...ids];
}

function unknownWord(word: string, vocabulary: readonly string[]): string {
  const known = vocabulary.filter((candidate) => !candidate.startsWith('<'));
  const near = known
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .toSorted((left, right) => left.distance - right.distance)
    .slice(0, SUGGESTIONS)
    .map(({ candidate }) => candidate);
  return `unknown word "${word}"; similar words: ${near.join(', ')}. All words: ${known.join(' ')}. For example: "${EXAMPLE}"`;
}

/** The Levenshtein distance: insertions, deletions and substitutions from one word to the other. */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 0; i < left.length; i += 1) {
    const next = [i + 1];
    for (let j = 0; j < right.length; j += 1) {
      const substitution = left.charAt(i) === right.charAt(j) ? 0 : 1;
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + substitution));
    }
    row = next;
  }
  return row[right.length]!;
}
