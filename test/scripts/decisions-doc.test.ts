/** docs/decisions.md explains every shipped recording rule, and its expressions are those of the rules. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { parsePolicies } from '../../src/config/policies.js';

const document = await readFile('docs/decisions.md', 'utf8');
const rules = await readFile('docker/prometheus/rules/decisions.yml', 'utf8');

const dense = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();
const blocks = (language: string): string[] =>
  [...document.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'gm'))].map(([, text = '']) => text);

test('every recorded series is explained', () => {
  const names = [...rules.matchAll(/^ +- record: (\S+)$/gm)].map(([, name = '']) => name);
  assert.ok(names.length > 20);
  for (const name of names) assert.ok(document.includes(`\`${name}\``), name);
});

test('every expression is part of the rules', () => {
  const shipped = dense(rules);
  assert.ok(blocks('promql').length > 10);
  for (const expression of blocks('promql')) assert.ok(shipped.includes(dense(expression)), expression);
});

test('the policies file in the document is valid', () => {
  const shown = blocks('json').find((text) => text.includes('"models"')) ?? '';
  assert.deepEqual(Object.keys(parsePolicies(shown).models), ['sdxl', 'pictogram']);
});
