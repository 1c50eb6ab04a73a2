/** The study in words: what was studied, the table, and why a line drops nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { markdownTable, sampleText, textTable, uncalibratedText } from '../../src/study/table.js';
import { testManifest } from '../support/app.js';

const rows = [
  {
    alpha: 0.05,
    false_drop: 0.0412,
    interval: [0.03, 0.0525],
    drop_rate: 0.25,
    steps_saved: 0.2,
    kept_quality: 0.61,
    random_kept_quality: 0.5,
  },
  {
    alpha: 0.025,
    false_drop: null,
    interval: null,
    drop_rate: 0,
    steps_saved: 0,
    kept_quality: null,
    random_kept_quality: 0.5,
  },
] as const;

test('the table lines up, and what does not exist is a dash', () => {
  const [head, ...lines] = textTable(rows).split('\n');
  assert.equal(new Set([head, ...lines].map((line) => line?.length)).size, 1);
  assert.deepEqual(
    lines.map((line) => line.trim().split(/ {2,}/)),
    [
      ['5%', '4.1%', '3.0% to 5.3%', '25.0%', '20.0%', '0.610', '0.500'],
      ['2.5%', '-', '-', '0.0%', '0.0%', '-', '0.500'],
    ],
  );
});

test('the same in Markdown', () => {
  const lines = markdownTable(rows).split('\n');
  assert.equal(lines.length, 4);
  assert.equal(lines[2], '| 5% | 4.1% | 3.0% to 5.3% | 25.0% | 20.0% | 0.610 | 0.500 |');
});

test('the samples are described', () => {
  const samples = { goodAt: 1, captions: [{ caption: 'a', scores: [1, 2], quality: [0.5, 1] }] };
  assert.match(
    sampleText(testManifest(), samples, 5),
    /^2 samples of 1 caption .* tiny@1 .* step 5 of 25; 50\.0%/,
  );
});

test('lines that drop nothing are explained', () => {
  assert.equal(uncalibratedText([], 40), '');
  assert.match(uncalibratedText([0.01, 0.02], 40), /^At 1%, 2% nothing is dropped: .*, 40\.$/);
});
