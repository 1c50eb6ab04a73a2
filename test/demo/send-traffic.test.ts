/** Demo traffic is scored under the service's own policy, and the quality of every finished sample is reported. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { findProbe } from '../../demo/drawing/find-probe.js';
import { sendTraffic } from '../../demo/send-traffic.js';
import { loadWorld } from '../../demo/world/node/load-world.js';
import { startShippedApp } from '../support/app.js';

test('a group is scored, and the qualities of the kept samples are reported', async (t) => {
  const { listen, metrics } = await startShippedApp(t);
  const url = await listen();
  const world = await loadWorld('reference');
  t.after(() => world.close());
  const groups: { finished: number; reported: number }[] = [];
  await sendTraffic({
    world,
    probe: await findProbe(url, undefined),
    step: 5,
    signal: new AbortController().signal,
    onGroup: (_caption, finished, reported) => groups.push({ finished, reported }),
    groups: 1,
    samples: 2,
  });
  const [group] = groups;
  assert.ok(group && group.reported === group.finished);
  const text = await metrics.registry.metrics();
  const decisions = [...text.matchAll(/decisions_total\{.*step="5",policy="max_false_drop".*\} (\d+)/g)];
  assert.equal(
    decisions.reduce((sum, [, count]) => sum + Number(count), 0),
    2,
  );
  const reported = [...text.matchAll(/feedback_samples_total\{.*step="5",.*\} (\d+)/g)];
  assert.equal(
    reported.reduce((sum, [, count]) => sum + Number(count), 0),
    group.finished,
  );
});

test('an aborted signal ends it between two steps', async (t) => {
  const { listen } = await startShippedApp(t);
  const url = await listen();
  const world = await loadWorld('reference');
  t.after(() => world.close());
  const signal = AbortSignal.abort(new Error('enough'));
  const options = {
    world,
    probe: await findProbe(url, undefined),
    step: 5,
    signal,
    onGroup: () => {},
    samples: 1,
  };
  await assert.rejects(sendTraffic(options), /enough/);
});
