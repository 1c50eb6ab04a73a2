/** The generated files in the repository are up to date, and generated parts of pages are replaced exactly. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { replaceParts } from '../../scripts/docs/markdown.js';
import { generatedFiles } from '../../scripts/generated-files.js';

for (const [file, text] of Object.entries(await generatedFiles())) {
  test(`${file} is up to date`, async () => {
    assert.equal(await readFile(file, 'utf8'), text, 'run `npm run generate:docs`');
  });
}

test('the text between two markers is replaced, and nothing else', () => {
  const text = 'before\n<!-- a -->\nold\n<!-- /a -->\nafter';
  const filled = 'before\n<!-- a -->\n\nnew\n\n<!-- /a -->\nafter';
  assert.equal(replaceParts(text, { a: 'new' }), filled);
  assert.equal(replaceParts(filled, { a: 'new' }), filled);
  assert.equal(replaceParts(filled, { a: '' }), 'before\n<!-- a -->\n<!-- /a -->\nafter');
});

test('missing markers are an error', () => {
  assert.throws(() => replaceParts('# no markers here', { settings: 'x' }), /no markers for settings/);
});
