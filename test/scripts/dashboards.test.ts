/** A newcomer can read the dashboards. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readPanels } from '../operate/panels.js';

test('every panel has a title of its own, a description, a unit and a query', () => {
  const titles = new Set<string>();
  for (const { dashboard, title, description, unit, targets } of readPanels()) {
    const name = `${dashboard}: ${title}`;
    assert.ok(title.length > 0 && !titles.has(name), name);
    titles.add(name);
    assert.ok(description.length > 30 && description.endsWith('.'), name);
    assert.ok(unit, name);
    assert.ok(targets.length > 0, name);
  }
  assert.ok(titles.size > 0);
});
