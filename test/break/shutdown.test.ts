/** Tests that SIGTERM loses no request: the real program, with clients as behind a load balancer. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { underLoad } from '../support/load.js';
import { startProcess } from '../support/process.js';
import { rawClient, requestHead } from '../support/raw-http.js';
import { temporaryFolder } from '../support/temporary-folder.js';

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

test('what reaches a busy process before the end of the drain delay is answered, over TCP and the Unix socket', async (t) => {
  const socket = path.join(await temporaryFolder(t), 'socket');
  const { child, origin, ended } = await startProcess(t, { LISTEN: `unix:${socket}`, DRAIN_DELAY_MS: '500' });
  const get = requestHead('GET /models');
  const kept = await Promise.all([origin, socket].map((address) => rawClient(t, address)));
  for (const client of kept) client.socket.write(requestHead('GET /livez'));
  for (const client of kept) await client.receive(1);
  child.kill('SIGTERM');
  // Signals take effect in no certain order.
  await pause(100);
  child.kill('SIGSTOP');
  // The delay ends meanwhile.
  const fresh = await Promise.all([origin, socket].map((address) => rawClient(t, address)));
  for (const client of [...kept, ...fresh]) client.socket.write(get);
  await pause(600);
  child.kill('SIGCONT');
  for (const client of [...kept, ...fresh]) {
    const answer = (await client.receive()).at(-1);
    assert.deepEqual([answer?.status, answer?.headers['connection']], [200, 'close']);
    assert.match(answer?.body ?? '', /"models"/);
  }
  assert.deepEqual(await ended, [0, null]);
});
