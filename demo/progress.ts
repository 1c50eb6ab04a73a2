/** Owns how far a run has come, as the user sees it: one line that changes on a terminal, a few plain ones elsewhere. */

const PLAIN_EVERY = 5;
const CLEAR_LINE = '\r\u001B[K';

/** Where progress goes. */
export interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Called after every step with how many are done, of how many, and how many images took part. */
export type OnStep = (done: number, total: number, images: number) => void;

/** Shows each step on `output`; on a terminal, the line is gone after the last. */
export function showProgress(output: Output): OnStep {
  return (done, total, images) => {
    const line = `step ${done} of ${total}, ${images} ${images === 1 ? 'image' : 'images'}`;
    if (output.isTTY) output.write(done === total ? CLEAR_LINE : `${CLEAR_LINE}${line}`);
    else if (done === 1 || done % PLAIN_EVERY === 0) output.write(`${line}\n`);
  };
}
