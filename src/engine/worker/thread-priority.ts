/**
 * Owns the priority of inference threads. They keep all cores busy, and the event loop must not wait for its turn behind them:
 * it is needed to receive what they run next, and to turn away what would be late.
 */
import { readlinkSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** Behind the threads of a usual priority, but not out of their sight. */
const NICER_BY = 5;
const NICEST = 19;

/**
 * Lets other threads go before the one that calls. On Linux a priority belongs to a thread, and /proc knows the caller's number;
 * elsewhere, nothing happens.
 */
export function lowerThreadPriority(): void {
  try {
    const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    setPriority(thread, Math.min(NICEST, getPriority(thread) + NICER_BY));
  } catch {
    // Only a little slower then.
  }
}
