/**
 * Owns the thread that says when requests are due. Timers of the event loop are a millisecond coarse, and asking the clock
 * in a loop would take a core from what is measured; sleeping on a futex is good to some ten microseconds and costs nothing.
 */
import { parentPort, workerData } from 'node:worker_threads';

import { nowMs } from '../clock.js';

/** The due times, ascending, on the clock of nowMs(). */
const due = workerData as Float64Array;
const neverWoken = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

// Each message is the number of requests that are due by now.
for (let count = 0; count < due.length;) {
  const waitMs = (due[count] ?? 0) - nowMs();
  if (waitMs > 0) Atomics.wait(neverWoken, 0, 0, waitMs);
  const now = nowMs();
  while (count < due.length && (due[count] ?? 0) <= now) count += 1;
  parentPort?.postMessage(count, []);
}
