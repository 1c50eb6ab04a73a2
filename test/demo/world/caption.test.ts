/** Captions become token ids, or an error that helps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { CaptionError, tokenize } from '../../../demo/world/caption.js';
import { readDescription } from '../../../demo/world/node/load-world.js';
import { anyCaption } from '../../support/captions.js';
import { DESCRIPTION } from '../../support/world.js';

test('a caption becomes the begin token and its words, in any case and with any spaces', () => {
  assert.deepEqual(tokenize('  Two cats\ton BLUE ', DESCRIPTION), [1, 3, 5, 6, 7]);
});

test('every caption of known words is read word by word', () => {
  const words = fc.array(fc.integer({ min: 2, max: 8 }), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(words, (ids) => {
      const caption = ids.map((id) => DESCRIPTION.vocabulary[id]).join(' ');
      assert.deepEqual(tokenize(caption, DESCRIPTION), [1, ...ids]);
    }),
  );
});

test('the committed vocabulary has every word of the grammar', async () => {
  const description = await readDescription('reference');
  fc.assert(
    fc.property(anyCaption, (caption) => {
      const [begin, ...words] = tokenize(caption, description);
      assert.equal(begin, description.begin_id);
      assert.equal(words.map((id) => description.vocabulary[id]).join(' '), caption);
    }),
  );
});

test('an unknown word is an error with similar words', () => {
  assert.throws(
    () => tokenize('a kat on blue background', DESCRIPTION),
    (error: Error) => {
      assert.ok(error instanceof CaptionError);
      assert.match(error.message, /unknown word "kat"; similar words: cat/);
      return true;
    },
  );
});

test('markers are not words', () => {
  assert.throws(
    () => tokenize('<begin>', { ...DESCRIPTION, vocabulary: ['<pad>', '<begin>', 'a'] }),
    CaptionError,
  );
});

test('an empty caption and one with too many words are refused', () => {
  assert.throws(() => tokenize('   ', DESCRIPTION), /empty/);
  assert.throws(() => tokenize('a a a a a a a', DESCRIPTION), /7 words; at most 6/);
});
