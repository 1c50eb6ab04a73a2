/** Owns how far long work has come, as the user sees it: a bar with the time left on a terminal, plain lines elsewhere. */
import type { Output } from '../demo/progress.js';

const WIDTH = 30;
const PLAIN_LINES = 10;
const CLEAR_LINE = '\r\u001B[K';
const SECONDS_PER_MINUTE = 60;

/** @param now a clock, ms. */
export function progressBar(
  output: Output,
  what: string,
  now: () => number = () => performance.now(),
): (share: number) => void {
  const startedAt = now();
  let told = 0;
  return (share) => {
    const seconds = ((now() - startedAt) / 1000) * (1 / share - 1);
    const line = `${what} ${Math.floor(100 * share)}%, ${timeText(seconds)} left`;
    if (output.isTTY) {
      const done = Math.round(WIDTH * share);
      const bar = `[${'#'.repeat(done)}${'.'.repeat(WIDTH - done)}]`;
      output.write(share >= 1 ? CLEAR_LINE : `${CLEAR_LINE}${bar} ${line}`);
    } else if (Math.floor(share * PLAIN_LINES) > told) {
      told = Math.floor(share * PLAIN_LINES);
      output.write(`${line}\n`);
    }
  };
}

function timeText(seconds: number): string {
  if (seconds < 2 * SECONDS_PER_MINUTE) return `${Math.round(seconds)} s`;
  return `${Math.round(seconds / SECONDS_PER_MINUTE)} min`;
}
