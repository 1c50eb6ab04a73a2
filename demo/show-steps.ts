/** Shows the steps of the drawn images. */
import type { Progress } from '../src/terminal/progress.js';

const PLAIN_EVERY = 5;

/** Called after every step: the steps done, all steps, and the images that the step denoised. */
export type OnStep = (done: number, total: number, images: number) => void;

/** Shows each step on a terminal, and every fifth elsewhere. */
export function showSteps(progress: Progress): OnStep {
  return (done, total, images) => {
    const line = `step ${done} of ${total}, ${images} ${images === 1 ? 'image' : 'images'}`;
    if (progress.isTerminal && done === total) progress.end();
    else if (progress.isTerminal || done === 1 || done % PLAIN_EVERY === 0) progress.show(line);
  };
}
