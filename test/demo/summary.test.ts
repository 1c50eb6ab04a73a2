/** The text output of `npm run generate`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { SelectedSample, Selection } from '../../demo/selection.js';
import { summaryText } from '../../demo/summary.js';

const KEPT: SelectedSample = {
  seed: 1,
  scores: { 1: 0.1, 5: 0.25 },
  dropped_at: null,
  quality: 0.9,
  rank: 1,
  image: 'seed-1.png',
};
const DROPPED: SelectedSample = {
  seed: 2,
  scores: { 1: 0.05 },
  dropped_at: 1,
  quality: null,
  rank: null,
  image: null,
};
const STAGE = { alive: 2, kept: 1, outcome: 'scored', calls: 2, seconds: 0.1 } as const;

function text(...samples: SelectedSample[]): string {
  const selection: Selection = {
    prompt: 'a cat',
    pipeline: 'pictogram',
    budget: 2,
    plan: { seeds: 2, keep: { 1: 1, 5: 1 } },
    samples,
    stages: [
      { ...STAGE, step: 1 },
      { ...STAGE, step: 5 },
    ],
    calls: 26,
    best_of_k: { k: 2, calls: 50 },
    seconds: 1.25,
    ranked_by: 'metric',
  };
  return summaryText(selection, 'out/a-cat');
}

test('a line per image, with a dash for each unknown value', () => {
  const lines = text(KEPT, DROPPED).split('\n');
  assert.match(lines[0] ?? '', /^seed +step 1 +step 5 +dropped at +quality +rank$/);
  assert.match(lines[1] ?? '', /^1 +0\.100 +0\.250 +- +0\.900 +1$/);
  assert.match(lines[2] ?? '', /^2 +0\.050 +- +step 1 +- +-$/);
});

test('totals, the best image and the folder', () => {
  const written = text(KEPT, DROPPED);
  assert.match(written, /^26 denoiser calls instead of 50 for best-of-2: 24 saved \(48%\), 1 of 2 kept$/m);
  assert.match(written, /^the best of the kept is seed 1: out\/a-cat\/seed-1\.png$/m);
  assert.match(written, /^1\.[23] s; sheet\.png and selection\.json are in out\/a-cat$/m);
  assert.doesNotMatch(written, /the best of all/);
});

test('when the dropped images were finished too, it says what became of the best of all', () => {
  const written = text({ ...KEPT, quality: 0.5 }, { ...DROPPED, quality: 0.7, image: 'seed-2.png' });
  assert.match(written, /kept 0\.500, of all 0\.600; the best of all, seed 2, was dropped at step 1/);
});
