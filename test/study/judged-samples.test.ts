/** A file of test scores is read as it is meant, or refused with what is wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseTestScores, readTestScores } from '../../src/study/judged-samples.js';

const FILE = {
  captions: ['a', 'b'],
  good_at: 0.6,
  steps: { '5': { scores: [[0.1, 0.2], [0.3]] }, '10': { scores: [[0.4, 0.5], [0.6]] } },
  quality: [[0.7, 0.8], [0.9]],
};
const read = (changes: object) => parseTestScores(JSON.stringify({ ...FILE, ...changes }), 'scores.json');

test('scores and qualities are put together by caption and step', () => {
  const scores = read({});
  assert.deepEqual(scores.steps, [5, 10]);
  assert.deepEqual(scores.at(10), {
    goodAt: 0.6,
    captions: [
      { caption: 'a', scores: [0.4, 0.5], quality: [0.7, 0.8] },
      { caption: 'b', scores: [0.6], quality: [0.9] },
    ],
  });
  assert.throws(() => scores.at(3), /scores at the steps 5, 10/);
});

test('what does not fit together is refused', async () => {
  assert.throws(() => read({ steps: { '5': { scores: [[0.1, 0.2]] } } }), /scores\.json .* at step 5/);
  assert.throws(() => read({ steps: { '5': { scores: [[0.1], [0.3]] } } }), /one quality per sample/);
  assert.throws(() => read({ captions: [] }), /scores\.json is not valid/);
  assert.throws(() => read({ quality: [[0.7, null], [0.9]] }), /scores\.json is not valid/);
  assert.throws(() => parseTestScores('{', 'scores.json'), /scores\.json is not valid/);
  await assert.rejects(readTestScores('nowhere/scores.json'), /nowhere.scores\.json cannot be read/);
});
