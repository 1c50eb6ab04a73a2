/** Progress is one changing line on a terminal, and lines below each other elsewhere. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { showSteps } from '../../demo/show-steps.js';
import { Progress } from '../../src/terminal/progress.js';

const STEPS = 25;

function shown(isTTY: boolean): string {
  let text = '';
  const onStep = showSteps(new Progress({ isTTY, write: (more) => (text += more) }));
  for (let step = 1; step <= STEPS; step += 1) {
    const group = {
      world: { description: { steps: STEPS } },
      seeds: Array<number>(step <= 5 ? 8 : 1).fill(0),
    };
    onStep(group as never, { step } as never);
  }
  return text;
}

test('elsewhere, the first step and every fifth are lines', () => {
  assert.deepEqual(shown(false).split('\n'), [
    'step 1 of 25, 8 images',
    'step 5 of 25, 8 images',
    'step 10 of 25, 1 image',
    'step 15 of 25, 1 image',
    'step 20 of 25, 1 image',
    'step 25 of 25, 1 image',
    '',
  ]);
});

test('on a terminal the line is overwritten, and cleared at the end', () => {
  const text = shown(true);
  assert.ok(!text.includes('\n'));
  assert.ok(text.endsWith('\r\u001B[K'));
  assert.equal(text.split('step ').length, STEPS);
});
