/** Tests that an answer which comes before the body reaches callers that send all of the body before they read. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { ApiKeys } from '../../src/config/key-files.js';
import type { AppOptions } from '../../src/server/app.js';
import { listenOnUnixSocket } from '../../src/server/unix-socket.js';
import { fakeEngine, LIMITS, operatorFiles, startApp, startMetricsApp } from '../support/app.js';
import { rawClient, type RawClient, requestHead } from '../support/raw-http.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const BODY = Buffer.alloc(8_388_608);
const BINARY = 'content-type: application/octet-stream';
const JSON_TYPE = 'content-type: application/json';
const LENGTH = `content-length: ${BODY.length}`;
const CHUNKED = 'transfer-encoding: chunked';
const noKey = new ApiKeys([]);
const guarded = { operatorFiles: operatorFiles({ apiKeys: () => noKey }) };
const full = {
  engine: fakeEngine({ queueRefusal: () => 'overloaded' }),
  limits: { ...LIMITS, maxBodyBytes: BODY.length },
};

async function refusal(client: RawClient, ...parts: readonly (string | Uint8Array)[]): Promise<number> {
  await client.sendAll(...parts);
  const [answer] = await client.receive(1);
  assert.equal(answer?.headers['connection'], 'close');
  assert.equal(answer.headers['content-type'], 'application/problem+json');
  await client.receive();
  assert.equal(client.answers.length, 1);
  return answer.status;
}

const CASES: readonly (readonly [string, number, string, Partial<AppOptions>?])[] = [
  ['a body that is too large', 413, requestHead('POST /score', BINARY, LENGTH)],
  ['feedback that is too large', 413, requestHead('POST /feedback', JSON_TYPE, LENGTH)],
  ['an unknown media type', 415, requestHead('POST /score', 'content-type: text/plain', LENGTH)],
  ['feedback of an unknown media type', 415, requestHead('POST /feedback', BINARY, LENGTH)],
  ['a compressed body', 415, requestHead('POST /score', BINARY, LENGTH, 'content-encoding: gzip')],
  ['an unknown address', 404, requestHead('POST /nothing', BINARY, LENGTH)],
  ['a wrong method', 405, requestHead('PUT /livez', LENGTH)],
  ['an address that cannot be decoded', 400, requestHead('POST /%zz', BINARY, LENGTH)],
  ['no API key', 401, requestHead('POST /score', BINARY, LENGTH), guarded],
  ['feedback without an API key', 401, requestHead('POST /feedback', JSON_TYPE, LENGTH), guarded],
  ['a reload without an API key', 401, requestHead('POST /models/reload', LENGTH), guarded],
  ['a full queue', 503, requestHead('POST /score', BINARY, LENGTH), full],
  ['headers that are too large', 431, requestHead('POST /score', BINARY, LENGTH, `x: ${'x'.repeat(20_000)}`)],
];

for (const [what, status, head, options = {}] of CASES) {
  test(`${what}: ${status}`, async (t) => {
    const { listen } = await startApp(t, options.engine ?? fakeEngine(), options);
    assert.equal(await refusal(await rawClient(t, await listen()), head, BODY), status);
  });
}

for (const [what, status, head] of [
  ['a chunked body', 411, requestHead('POST /score', BINARY, CHUNKED)],
  ['chunked feedback that is too large', 413, requestHead('POST /feedback', JSON_TYPE, CHUNKED)],
  ['a chunked body for an unknown address', 404, requestHead('POST /nothing', BINARY, CHUNKED)],
] as const) {
  test(`${what}: ${status}`, async (t) => {
    const { listen } = await startApp(t, fakeEngine());
    const client = await rawClient(t, await listen());
    const chunks = [`${BODY.length.toString(16)}\r\n`, BODY, '\r\n0\r\n\r\n'];
    assert.equal(await refusal(client, head, ...chunks), status);
  });
}

test('a body without a length: 411, then 400', async (t) => {
  const { listen } = await startApp(t, fakeEngine());
  const client = await rawClient(t, await listen());
  await client.sendAll(requestHead('POST /score', BINARY), BODY);
  await client.receive();
  assert.deepEqual(client.statuses, [411, 400]);
});

test('a body for the metrics port: 405', async (t) => {
  const client = await rawClient(t, await startMetricsApp(t));
  assert.equal(await refusal(client, requestHead('POST /metrics', BINARY, LENGTH), BODY), 405);
});

test('over a Unix socket: 413', async (t) => {
  const { app } = await startApp(t, fakeEngine());
  const file = path.join(await temporaryFolder(t), 'socket');
  const socket = await listenOnUnixSocket(file, app.server);
  t.after(() => socket.close());
  const client = await rawClient(t, file);
  assert.equal(await refusal(client, requestHead('POST /score', BINARY, LENGTH), BODY), 413);
});

test('a slow sender: 413', async (t) => {
  const { listen } = await startApp(t, fakeEngine());
  const client = await rawClient(t, await listen());
  client.socket.pause();
  client.socket.write(requestHead('POST /score', BINARY, LENGTH));
  for (let sent = 0; sent < 5; sent += 1) {
    await delay(100);
    client.socket.write(BODY.subarray(0, BODY.length / 5));
  }
  assert.equal(await refusal(client), 413);
});

test('a small body is read instead, and its connection is kept', async (t) => {
  const { listen } = await startApp(t, fakeEngine());
  const client = await rawClient(t, await listen());
  await client.sendAll(requestHead('POST /nothing', 'content-length: 200000'), BODY.subarray(0, 200_000));
  await client.receive(1);
  client.socket.write(requestHead('GET /livez'));
  await client.receive(2);
  assert.deepEqual(client.statuses, [404, 200]);
});
