/** New captions are of the mix and the split that the probe's figures were made for, as Python defines both. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { tokenize } from '../../src/reference/caption.js';
import {
  bucketOf,
  type CaptionRequest,
  captionOf,
  drawTestCaption,
} from '../../src/reference/caption-mix.js';
import { readDescription } from '../../src/reference/description.js';
import { uniformNumbers } from '../../src/reference/uniform.js';

const group = (pictogram: string, count: number) => ({ pictogram, count });
const request = (
  groups: CaptionRequest['groups'],
  relation: CaptionRequest['relation'],
  background: string,
) => ({
  groups,
  relation,
  background,
});

test('captions and buckets are those of diffusion_probe.reference.language', () => {
  for (const [asked, caption, bucket] of [
    [
      request([group('cat', 1), group('key', 2)], 'left', 'blue'),
      'a cat left of two keys on a blue background',
      61,
    ],
    [
      request([group('key', 2), group('cat', 1)], undefined, 'blue'),
      'two keys and a cat on a blue background',
      35,
    ],
    [
      request([group('owl', 1), group('cactus', 3)], undefined, 'white'),
      'an owl and three cacti on a white background',
      1,
    ],
    [
      request([group('butterfly', 1), group('apple', 1), group('fish', 2)], 'above', 'pink'),
      'a butterfly above an apple and two fish on a pink background',
      9,
    ],
    [
      request([group('fish', 2), group('butterfly', 1)], undefined, 'grey'),
      'two fish and a butterfly on a grey background',
      59,
    ],
  ] as const) {
    assert.equal(captionOf(asked), caption);
    assert.equal(bucketOf(asked), bucket, caption);
  }
});

test('the order of unrelated groups does not move a caption to another split', () => {
  const [cat, key, owl] = [group('cat', 1), group('key', 2), group('owl', 1)];
  assert.equal(
    bucketOf(request([cat, key, owl], undefined, 'blue')),
    bucketOf(request([owl, cat, key], undefined, 'blue')),
  );
  assert.notEqual(
    bucketOf(request([cat, key], 'left', 'blue')),
    bucketOf(request([key, cat], 'left', 'blue')),
  );
});

test('the captions drawn can be read, and have the frozen mix of things and relations', async () => {
  const description = await readDescription('reference');
  const random = uniformNumbers('mix');
  const captions = Array.from({ length: 4000 }, () => drawTestCaption(random));
  const things = [0, 0, 0, 0];
  for (const caption of captions) {
    tokenize(caption, description);
    const count = [...caption.matchAll(/\b(an?|two|three)\b(?! \w+ background)/g)].reduce(
      (sum, [, word]) => sum + (word === 'two' ? 2 : word === 'three' ? 3 : 1),
      0,
    );
    things[count - 1] = (things[count - 1] ?? NaN) + 1 / captions.length;
  }
  // Room for the chance of 4000 captions, and of which captions of one thing the test split holds.
  for (const [index, expected] of [0.15, 0.3, 0.3, 0.25].entries())
    assert.ok(Math.abs((things[index] ?? NaN) - expected) < 0.05, things.join());
  const related = captions.filter((caption) => /left of|above/.test(caption)).length;
  const several = captions.filter((caption) => / and |left of|above/.test(caption)).length;
  assert.ok(Math.abs(related / several - 0.6) < 0.05, String(related / several));
});
