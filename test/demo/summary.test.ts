/** The text output of `npm run generate`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { summaryText, type SummaryRow } from '../../demo/summary.js';

function dropped(seed: number): SummaryRow {
  return { seed, score: seed / 10, percentile: 50, rank: seed, decision: 'drop', reason: 'not_top_k' };
}

function kept(seed: number, quality: number): SummaryRow {
  return { ...dropped(seed), decision: 'keep', reason: 'top_k', quality };
}

const facts = { step: 5, totalSteps: 25, all: false, seconds: 1.25, out: 'out.png' };

test('a line per candidate, with a dash for each unknown value', () => {
  const lines = summaryText([kept(1, 0.9), dropped(2)], facts).split('\n');
  assert.match(lines[1] ?? '', /^1 +0\.100 +50\.0 +1 +keep +top_k +0\.900$/);
  assert.match(lines[2] ?? '', /^2 +0\.200 +50\.0 +2 +drop +not_top_k +-$/);
  const failedOpen: SummaryRow = { seed: 3, decision: 'keep', reason: 'failed_open', quality: 0.5 };
  assert.match(summaryText([failedOpen], facts), /^3 +- +- +- +keep +failed_open +0\.500$/m);
});

test('steps saved are counted per sample', () => {
  const text = summaryText([kept(1, 0.9), dropped(2), dropped(3), dropped(4)], facts);
  assert.match(text, /40 denoising steps instead of 100: 60 saved \(60%\), 1 of 4 kept/);
  assert.doesNotMatch(text, /the best of all/);
});

test('with --all it says whether the best candidate was kept', () => {
  const rows = [kept(1, 0.5), { ...dropped(2), quality: 0.7 }];
  const text = summaryText(rows, { ...facts, all: true });
  assert.match(text, /kept 0\.500, of all 0\.600; the best of all, seed 2, was dropped/);
});
