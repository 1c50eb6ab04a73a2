/** Long work shows a bar on a terminal, and a few lasting lines elsewhere; both say how long it will take. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { progressBar } from '../../src/study/progress-bar.js';

const STEPS = 40;

/** What is shown of work that takes 10 s per step. */
function shown(isTTY: boolean): string {
  let text = '';
  let clock = 0;
  const onProgress = progressBar({ isTTY, write: (more) => (text += more) }, '8 samples', () => clock);
  for (let step = 1; step <= STEPS; step += 1) {
    clock = step * 10_000;
    onProgress(step / STEPS);
  }
  return text;
}

test('plain lines at every tenth', () => {
  const lines = shown(false).trimEnd().split('\n');
  assert.equal(lines.length, 10);
  assert.equal(lines[0], '8 samples 10%, 6 min left');
  assert.equal(lines[8], '8 samples 90%, 40 s left');
});

test('on a terminal the bar is overwritten, and gone at the end', () => {
  const text = shown(true);
  assert.ok(!text.includes('\n'));
  assert.ok(text.includes(`[${'#'.repeat(15)}${'.'.repeat(15)}] 8 samples 50%, 3 min left`));
  assert.ok(text.endsWith('\r\u001B[K'));
});
