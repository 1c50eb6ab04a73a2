/** Owns how far a run has come, as the user sees it: one line that changes on a terminal, plain lines elsewhere. */

const CLEAR_LINE = '\r\u001B[K';

/** Where progress goes. */
export interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export interface Progress {
  tell(line: string): void;
  /** Leaves a clean line behind. */
  end(): void;
}

export function showProgress(output: Output): Progress {
  const startedAt = performance.now();
  return {
    tell: (line) => {
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(0).padStart(3);
      output.write(output.isTTY ? `${CLEAR_LINE}${seconds} s  ${line}` : `${seconds} s  ${line}\n`);
    },
    end: () => {
      if (output.isTTY) output.write(CLEAR_LINE);
    },
  };
}
