/**
 * A thread that reports when requests are due. It sleeps in Atomics.wait, because timers of the event loop have a resolution of
 * a millisecond, and a busy loop would take a core from the measured server.
 */
import { parentPort, workerData } from 'node:worker_threads';

import { nowMs } from '../machine.js';

/** The due times, ascending, on the clock of nowMs(). */
const due = workerData as Float64Array;
const neverWoken = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

// Each message is the number of requests that are due so far.
for (let count = 0; count < due.length;) {
  const waitMs = (due[count] ?? 0) - nowMs();
  if (waitMs > 0) Atomics.wait(neverWoken, 0, 0, waitMs);
  const now = nowMs();
  while (count < due.length && (due[count] ?? 0) <= now) count += 1;
  parentPort?.postMessage(count, []);
}
