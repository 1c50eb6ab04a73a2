/** Tests that SIGTERM under load loses no request: the real program, with clients as behind a load balancer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { underLoad } from '../support/load.js';
import { startProcess } from '../support/process.js';

test('every request that is open at SIGTERM, or arrives before the close, is scored', async (t) => {
  const { child, origin, lines, ended } = await startProcess(
    t,
    { WORKERS: '2', DRAIN_DELAY_MS: '3000' },
    { work: 10 },
  );
  const tally = await underLoad(
    t,
    origin,
    async () => {
      await pause(500);
      child.kill('SIGTERM');
      await ended;
    },
    // A client stops at an answer with `connection: close`, as a load balancer does when /readyz fails.
    { isLast: ({ connection }) => connection === 'close' },
  );
  assert.deepEqual(Object.keys(tally), ['scored'], JSON.stringify(tally));
  assert.ok((tally['scored'] ?? 0) >= 8);
  assert.deepEqual(await ended, [0, null]);
  assert.equal(lines.at(-1)?.['msg'], 'stopped');
});
