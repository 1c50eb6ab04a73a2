/** The generated parts of the documents say what the code says and what the shipped probe answers. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { withMarked } from '../../scripts/marked-text.js';
import { withTables } from '../../scripts/readme-tables.js';
import { withScaling } from '../../scripts/scaling-tables.js';

test('the tables and answers of README.md are as `npm run readme` writes them', async () => {
  const readme = await readFile('README.md', 'utf8');
  assert.equal(await withTables(readme), readme, 'run `npm run readme`');
});

test('the tables in docs/scaling.md are as `npm run readme` writes them', async () => {
  const text = await readFile('docs/scaling.md', 'utf8');
  assert.equal(withScaling(text), text, 'run `npm run readme`');
});

test('what stands between two markers is replaced, and nothing else', () => {
  const text = 'before\n<!-- a -->\nold\n<!-- /a -->\nafter';
  const filled = 'before\n<!-- a -->\n\nnew\n\n<!-- /a -->\nafter';
  assert.equal(withMarked(text, 'a', 'new'), filled);
  assert.equal(withMarked(filled, 'a', 'new'), filled);
  assert.equal(withMarked(filled, 'a', ''), 'before\n<!-- a -->\n<!-- /a -->\nafter');
});

test('markers that are missing are an error and not left out', () => {
  assert.throws(() => withMarked('# no markers here', 'settings', 'x'), /no markers for settings/);
});
