/** The tables of README.md say what the code says. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { withTables } from '../../scripts/readme-tables.js';

test('the tables of README.md are as `npm run readme` writes them', async () => {
  const readme = await readFile('README.md', 'utf8');
  assert.equal(await withTables(readme), readme, 'run `npm run readme`');
});

test('a table without its markers is an error and not left out', async () => {
  await assert.rejects(withTables('# no markers here'), /no markers for settings/);
});
