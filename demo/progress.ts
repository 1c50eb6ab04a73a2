/** Shows the progress of a command: one changing line on a terminal, a line for each message elsewhere. */

const PLAIN_EVERY = 5;
const CLEAR_LINE = '\r\u001B[K';

export interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export class Progress {
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
  }

  get isTerminal(): boolean {
    return this.#output.isTTY ?? false;
  }

  /** Replaces the current line on a terminal. */
  show(line: string): void {
    this.#output.write(this.isTerminal ? `${CLEAR_LINE}${line}` : `${line}\n`);
  }

  /** Writes a line that stays. */
  print(line: string): void {
    this.end();
    this.#output.write(`${line}\n`);
  }

  /** Clears the current line on a terminal. */
  end(): void {
    if (this.isTerminal) this.#output.write(CLEAR_LINE);
  }
}

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
