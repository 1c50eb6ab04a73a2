/** The study's arithmetic, on samples whose outcome can be counted by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { CalibrationPoint } from '../../src/engine/manifest.js';
import { studyFalseDrop, uncalibrated } from '../../src/study/false-drop.js';

/** With 9 good scores, 0.1 to 0.9, an alpha of 0.2 puts the threshold at 0.2. */
const calibration: CalibrationPoint = {
  step: 5,
  captions: 9,
  samples: 9,
  scores: [0, 1],
  good_scores: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
  p_good: { score: [0, 1], probability: [0, 1] },
};
const point = { step: 5, totalSteps: 25, calibration };

const samples = {
  goodAt: 0.6,
  captions: [
    { caption: 'a', scores: [0.1, 0.15, 0.3, 0.9], quality: [0.2, 0.7, 0.6, 0.9] },
    { caption: 'b', scores: [0.05, 0.5, 0.6, 0.7], quality: [0.1, 0.1, 0.8, 0.4] },
  ],
};

test('what is dropped, lost, saved and kept is counted', () => {
  const [row] = studyFalseDrop(samples, point, [0.2]);
  assert.ok(row);
  const { interval, ...figures } = row;
  assert.deepEqual(figures, {
    alpha: 0.2,
    false_drop: 0.25,
    drop_rate: 0.375,
    steps_saved: 0.3,
    kept_quality: 0.56,
    random_kept_quality: 0.475,
  });
  // Caption a alone loses one of three good samples, caption b alone none of one.
  assert.deepEqual(interval, [0, 0.3333]);
});

test('nothing is dropped where the calibration is too small for the alpha', () => {
  assert.deepEqual(uncalibrated(point, [0.05, 0.1, 0.2]), [0.05]);
  const [row] = studyFalseDrop(samples, point, [0.05]);
  assert.deepEqual([row?.false_drop, row?.drop_rate, row?.kept_quality], [0, 0, row?.random_kept_quality]);
  const bare = { ...point, calibration: undefined };
  assert.deepEqual(uncalibrated(bare, [0.2]), [0.2]);
  assert.equal(studyFalseDrop(samples, bare, [0.2])[0]?.drop_rate, 0);
});

test('what does not exist is null and not a number', () => {
  const allBad = { goodAt: 2, captions: samples.captions };
  const [lost] = studyFalseDrop(allBad, point, [0.2]);
  assert.deepEqual([lost?.false_drop, lost?.interval], [null, null]);
  const allDropped = { goodAt: 0.6, captions: [{ caption: 'a', scores: [0.01], quality: [0.7] }] };
  const [gone] = studyFalseDrop(allDropped, point, [0.2]);
  assert.deepEqual([gone?.false_drop, gone?.kept_quality, gone?.random_kept_quality], [1, null, 0.7]);
});
