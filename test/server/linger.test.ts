/** Tests the limits of what is discarded after the last answer of a connection. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';

import { linger, type LingerLimits } from '../../src/server/linger.js';
import { rawClient } from '../support/raw-http.js';

const LIMITS: LingerLimits = { bytes: 10_000_000, timeMs: 10_000, silenceMs: 10_000 };

/** A connection whose server answers at once and lingers; `closed` resolves with the time until the server closes it, ms. */
async function lingering(t: TestContext, limits: Partial<LingerLimits>) {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const [client, [socket]] = await Promise.all([
    rawClient(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    once(server, 'connection') as Promise<[Socket]>,
  ]);
  const from = performance.now();
  const closed = once(socket, 'close').then(() => performance.now() - from);
  socket.write('answer');
  linger(socket, { ...LIMITS, ...limits });
  return { client: client.socket, closed };
}

test('the connection closes when the caller closes it', async (t) => {
  const { client, closed } = await lingering(t, {});
  assert.equal(await text(client), 'answer');
  assert.ok((await closed) < 1000);
});

test('a caller that sends nothing more and does not close is cut off', async (t) => {
  const { client, closed } = await lingering(t, { silenceMs: 200 });
  client.pause();
  const ms = await closed;
  assert.ok(ms >= 190 && ms < 2000, `${ms} ms`);
});

test('a caller that goes on sending is cut off in the end', async (t) => {
  const { client, closed } = await lingering(t, { timeMs: 400, silenceMs: 200 });
  client.pause();
  const sending = setInterval(() => client.write('more'), 50);
  const ms = await closed;
  clearInterval(sending);
  assert.ok(ms >= 390 && ms < 2000, `${ms} ms`);
});

test('a caller that sends too much is cut off at once', async (t) => {
  const { client, closed } = await lingering(t, { bytes: 100_000 });
  client.pause();
  client.write(Buffer.alloc(200_000));
  assert.ok((await closed) < 1000);
});
