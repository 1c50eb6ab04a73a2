/**
 * Runs long computations on the event loop in slices of a few milliseconds, one per turn of the loop, so that they do not
 * hold up other requests. See docs/adr/0025-json-off-the-event-loop.md.
 */

/** A computation that yields often, at least every millisecond. */
export type Steps<Value> = Generator<undefined, Value>;

/** Together with the longest step it stays far below the 20 ms that no request may hold the event loop. */
const SLICE_MS = 4;

/** Computations that have begun. Each takes its turn. */
const waiting: (() => boolean)[] = [];
/** A slice ran in this turn of the loop, or one will run in the next. */
let isBusy = false;

/** Runs a computation to its end in one go. */
export function finish<Value>(steps: Steps<Value>): Value {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** Resolves with the result of a computation. A short one ends at once, when no other is running. */
export function inSlices<Value>(steps: Steps<Value>): Promise<Value> {
  return new Promise((resolve, reject: (error: unknown) => void) => {
    waiting.push(() => {
      const until = performance.now() + SLICE_MS;
      try {
        for (let step = steps.next(); ; step = steps.next()) {
          if (step.done) {
            resolve(step.value);
            return true;
          }
          if (performance.now() >= until) return false;
        }
      } catch (error) {
        reject(error);
        return true;
      }
    });
    if (!isBusy) runSlice();
  });
}

function runSlice(): void {
  const slice = waiting.shift();
  isBusy = slice !== undefined;
  if (!slice) return;
  if (!slice()) waiting.push(slice);
  setImmediate(runSlice);
}
