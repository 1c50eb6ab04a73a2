/** Owns colour values as images of the reference world have them: numbers in [-1, 1]. */

/** The nearest value that an image may have. */
export function clampColour(value: number): number {
  return Math.min(1, Math.max(-1, value));
}

/** The value as an image file would keep it: one of 256 steps. */
export function wholeColour(value: number): number {
  return Math.round((clampColour(value) + 1) * 127.5) / 127.5 - 1;
}
