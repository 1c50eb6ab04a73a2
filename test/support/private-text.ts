/** A text that tests put into requests and secrets. The log of no test may hold it. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';

import { MAX_SHOWN_BYTES } from '../../src/disclosure.js';

/** Short, because an error of JSON.parse quotes ten characters. */
export const PRIVATE = 'qZx7J';

/** Checks each line of a log: the test fails when one holds the private text or is too long. */
export function watchLog(t: TestContext): (line: string) => void {
  let isRight = true;
  return (line) => {
    const isWrong = line.includes(PRIVATE) || Buffer.byteLength(line) > MAX_SHOWN_BYTES;
    // Not before, because a hook that fails keeps later ones from cleaning up.
    if (isWrong && isRight) t.after(() => assert.fail(`a line of the log: ${line}`));
    isRight &&= !isWrong;
  };
}
