/** The committed dashboards are those that the code makes, and a newcomer can read them. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { dashboardFiles } from '../../scripts/dashboards/dashboards.js';
import { readPanels } from '../operate/panels.js';

for (const [name, text] of dashboardFiles()) {
  test(`${name} is as \`npm run dashboards\` writes it`, async () => {
    assert.equal(
      await readFile(`docker/grafana/dashboards/${name}`, 'utf8'),
      text,
      'run `npm run dashboards`',
    );
  });
}

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
