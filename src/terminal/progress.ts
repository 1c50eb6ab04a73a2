/** Shows the progress of a command: one changing line on a terminal, a line for each message elsewhere. */

const CLEAR_LINE = '\r\u001B[K';
const BAR_WIDTH = 20;

export interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export class Progress {
  readonly #output: Output;
  /** What the changing line of a terminal shows. */
  #shown = '';

  constructor(output: Output) {
    this.#output = output;
  }

  get isTerminal(): boolean {
    return this.#output.isTTY ?? false;
  }

  /** Replaces the changing line on a terminal. */
  show(line: string): void {
    this.#output.write(this.isTerminal ? `${CLEAR_LINE}${line}` : `${line}\n`);
    this.#shown = line;
  }

  /** Writes lines that stay, above the changing line. */
  print(lines: string): void {
    if (!this.isTerminal || this.#shown === '') this.#output.write(`${lines}\n`);
    else this.#output.write(`${CLEAR_LINE}${lines}\n${this.#shown}`);
  }

  /** Clears the changing line on a terminal. */
  end(): void {
    if (this.isTerminal && this.#shown !== '') this.#output.write(CLEAR_LINE);
    this.#shown = '';
  }
}

/** A bar that is full when all is done. */
export function progressBar(done: number, total: number): string {
  const filled = total === 0 ? BAR_WIDTH : Math.round((BAR_WIDTH * done) / total);
  return `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)} ${done} of ${total}`;
}
