/** Shows the steps of the drawn images. */
import type { Progress } from '../src/terminal/progress.js';
import type { DrawOptions } from './drawing/draw-group.js';

const PLAIN_EVERY = 5;

/** Shows each step on a terminal, and every fifth elsewhere. */
export function showSteps(progress: Progress): NonNullable<DrawOptions['onStep']> {
  return ({ world, seeds: { length: images } }, { step: done }) => {
    const total = world.description.steps;
    const line = `step ${done} of ${total}, ${images} ${images === 1 ? 'image' : 'images'}`;
    if (progress.isTerminal && done === total) progress.end();
    else if (progress.isTerminal || done === 1 || done % PLAIN_EVERY === 0) progress.show(line);
  };
}
