/** A text that tests put into requests and secrets. The log of no test may hold it. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';

import { MAX_SHOWN_BYTES } from '../../src/disclosure.js';

/** Short, because an error of JSON.parse quotes ten characters. */
export const PRIVATE = 'qZx7J';

/** Checks each line of a log: the test fails afterwards when one held the private text or was too long. */
export function watchLog(t: TestContext): (line: string) => void {
  let wrong: string | undefined;
  t.after(() => assert.equal(wrong, undefined, 'a line of the log'));
  return (line) => {
    if (line.includes(PRIVATE) || Buffer.byteLength(line) > MAX_SHOWN_BYTES) wrong ??= line;
  };
}
