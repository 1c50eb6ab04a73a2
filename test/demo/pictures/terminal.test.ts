/** A terminal's picture shows the colours of the text, and what a program has cleared no more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { drawTerminal } from '../../../demo/pictures/terminal.js';
import { readPng } from '../../support/png.js';

const GREEN = '#3ecf8e';
const RED = '#ff7a6b';
const COLUMNS = 20;

async function draw(output: string) {
  const png = await readPng(await drawTerminal(output, COLUMNS));
  return { ...png, shows: (colour: string) => png.has(colour, 0, 0, png.width, png.height) };
}

test('text has the colour that its control sequences give it', async () => {
  const { shows } = await draw('\u001B[32mINFO\u001B[39m ready');
  assert.ok(shows(GREEN) && !shows(RED));
});

test('a line that was cleared and written again is shown as it is at the end', async () => {
  const { shows, height } = await draw(
    '\u001B[31mloading\u001B[39m\r\u001B[K\u001B[32mready\u001B[39m\r\n\r\n',
  );
  assert.ok(shows(GREEN) && !shows(RED));
  assert.equal(height, (await draw('one line')).height, 'empty lines at the end are not drawn');
});

test('a line longer than the terminal is wide takes two', async () => {
  const heightOf = async (output: string) => (await draw(output)).height;
  assert.equal(await heightOf('x'.repeat(COLUMNS + 1)), await heightOf('x\r\nx'));
  assert.notEqual(await heightOf('x'.repeat(COLUMNS + 1)), await heightOf('x'.repeat(COLUMNS)));
});
