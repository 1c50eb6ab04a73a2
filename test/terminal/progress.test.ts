/** The changing line of a terminal stays below the lines that are printed meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Progress, progressBar } from '../../src/terminal/progress.js';

const CLEAR = '\r\u001B[K';

function written(isTTY: boolean, use: (progress: Progress) => void): string {
  let text = '';
  use(new Progress({ isTTY, write: (more) => (text += more) }));
  return text;
}

test('a line that is printed stands above the changing line', () => {
  const text = written(true, (progress) => {
    progress.show('1 of 2');
    progress.print('a line');
    progress.end();
    progress.print('the last');
  });
  assert.equal(text, `${CLEAR}1 of 2${CLEAR}a line\n1 of 2${CLEAR}the last\n`);
});

test('elsewhere every line stays', () => {
  const text = written(false, (progress) => {
    progress.show('1 of 2');
    progress.print('a line');
    progress.end();
  });
  assert.equal(text, '1 of 2\na line\n');
});

test('a bar has one width, and is full at the end', () => {
  assert.equal(progressBar(0, 2), '░░░░░░░░░░░░░░░░░░░░ 0 of 2');
  assert.equal(progressBar(1, 2), '██████████░░░░░░░░░░ 1 of 2');
  assert.equal(progressBar(2, 2), '████████████████████ 2 of 2');
});
