/** Captions are parsed in every wording, and their paraphrases are the same as in Python. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import fc from 'fast-check';

import { CaptionError } from '../../../demo/world/caption.js';
import { captionText, paraphrases, parseCaption } from '../../../demo/world/grammar.js';
import { anyCaption } from '../../support/captions.js';

/** The cases that the Python package is tested with too. */
interface Cases {
  readonly captions: readonly { readonly plain: string; readonly paraphrases: readonly string[] }[];
  readonly read: readonly { readonly text: string; readonly plain: string }[];
  readonly refused: readonly { readonly text: string; readonly message: string }[];
}

const cases = JSON.parse(await readFile('test/demo/world/captions.json', 'utf8')) as Cases;

for (const { plain, paraphrases: expected } of cases.captions) {
  test(`the paraphrases of "${plain}"`, () => {
    assert.deepEqual(paraphrases(parseCaption(plain)), expected);
  });
}

for (const { text, plain } of cases.read) {
  test(`"${text}" is read as "${plain}"`, () => {
    assert.equal(captionText(parseCaption(text)), plain);
  });
}

for (const { text, message } of cases.refused) {
  test(`"${text}" is refused with the reason`, () => {
    assert.throws(
      () => parseCaption(text),
      (error: Error) => error instanceof CaptionError && error.message.includes(message),
    );
  });
}

test('a caption survives parsing and writing, and its paraphrases have its meaning and its length', () => {
  fc.assert(
    fc.property(anyCaption, (text) => {
      const caption = parseCaption(text);
      assert.equal(captionText(caption), text);
      const sameMeaning = (other: string): string =>
        captionText({ ...parseCaption(other), ...sorted(other) });
      for (const other of paraphrases(caption)) {
        assert.equal(other.split(' ').length, text.split(' ').length);
        assert.equal(sameMeaning(other), sameMeaning(text));
      }
    }),
  );
});

/** The phrases in an order that does not depend on the wording. */
function sorted(text: string): Pick<ReturnType<typeof parseCaption>, 'phrases'> {
  const { phrases, relation } = parseCaption(text);
  const related = relation ? 2 : 0;
  const rest = phrases.slice(related).toSorted((a, b) => a.pictogram.localeCompare(b.pictogram));
  return { phrases: [...phrases.slice(0, related), ...rest] };
}
