/** Time in a socket counts while the event loop is busy, and not after it was idle. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';

import { SocketWait } from '../../src/server/socket-wait.js';

const BUSY_MS = 30;

function beBusy(): void {
  const end = performance.now() + BUSY_MS;
  while (performance.now() < end);
}

test('a request that is read after a busy turn may have waited for all of it', async () => {
  const wait = new SocketWait();
  wait.atMostMs(performance.now());
  await nextTurn();
  beBusy();
  assert.ok(wait.atMostMs(performance.now()) >= BUSY_MS);
});

test('requests of one turn wait for those before them', async () => {
  const wait = new SocketWait();
  wait.atMostMs(performance.now());
  await nextTurn();
  const first = wait.atMostMs(performance.now());
  beBusy();
  assert.ok(wait.atMostMs(performance.now()) >= first + BUSY_MS);
});

test('a request that is read after the loop was idle has not waited, whatever was done before', async () => {
  const wait = new SocketWait();
  assert.equal(wait.atMostMs(performance.now()), 0);
  await nextTurn();
  beBusy();
  await delay(20);
  assert.equal(wait.atMostMs(performance.now()), 0);
});
