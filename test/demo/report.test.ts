/** What a run says in words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { reportText, type ReportRow } from '../../src/demo/report.js';

function row(seed: number, decision: 'keep' | 'drop', quality?: number): ReportRow {
  return { seed, score: seed / 10, percentile: 50, rank: seed, decision, reason: 'top_k', quality };
}

const facts = { step: 5, totalSteps: 25, all: false, seconds: 1.25, out: 'out.png' };

test('steps saved are counted per sample', () => {
  const text = reportText([row(1, 'keep', 0.9), row(2, 'drop'), row(3, 'drop'), row(4, 'drop')], facts);
  assert.match(text, /40 denoising steps instead of 100: 60 saved \(60%\), 1 of 4 kept/);
  assert.doesNotMatch(text, /the best of all/);
});

test('with all of them finished it says whether the best was kept', () => {
  const rows = [row(1, 'keep', 0.5), row(2, 'drop', 0.7)];
  const text = reportText(rows, { ...facts, all: true });
  assert.match(text, /kept 0\.500, of all 0\.600; the best of all, seed 2, was dropped/);
});

test('what is not known is a dash', () => {
  const failed = { ...row(1, 'keep', 0.5), score: undefined, percentile: undefined, rank: undefined };
  assert.match(reportText([failed], facts), /^1 +- +- +- +keep/m);
});
