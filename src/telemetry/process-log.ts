/** The log of the process on standard output: JSON, and on a terminal readable lines above the progress. */
import type { Logger } from 'pino';

import { Progress } from '../terminal/progress.js';
import { createLog } from './log.js';
import { LogOutput } from './log-output.js';

const STDOUT = 1;

export interface ProcessLog {
  readonly log: Logger;
  /** Where standard output is a terminal. */
  readonly terminal: Progress | undefined;
  /** Whether all lines so far were written within `limitMs`. */
  readonly flushed: (limitMs: number) => Promise<boolean>;
}

/** @param onClosed called once, when the reader of standard output has closed its end. */
export async function openProcessLog(level: string, onClosed: () => void): Promise<ProcessLog> {
  const output = new LogOutput(STDOUT, onClosed);
  const flushed = (limitMs: number): Promise<boolean> => output.flushed(limitMs);
  if (!process.stdout.isTTY) return { log: createLog(level, output), terminal: undefined, flushed };
  // Imported here, because a service without a terminal does not need this library.
  const { readableLines } = await import('./readable-log.js');
  const readable = readableLines(process.stdout.hasColors());
  const terminal = new Progress({ isTTY: true, write: (text) => output.write(text) });
  const log = createLog(level, { write: (line) => terminal.print(readable(line)) });
  return { log, terminal, flushed };
}
