/** Tests what is the same on every route of both ports: Host, Expect, methods and content codings. */
import assert from 'node:assert/strict';
import { METHODS } from 'node:http';
import { test } from 'node:test';

import { ApiKeys } from '../../src/config/key-files.js';
import { fakeEngine, LIMITS, operatorFiles, startApp, startMetricsApp } from '../support/app.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { type RawAnswer, rawClient, requestHead } from '../support/raw-http.js';
import { randomSamples, scoreBody } from '../support/samples.js';

const payload = Buffer.from(scoreBody(randomSamples(TINY_SIZE, 3, 2)));
const BINARY = 'content-type: application/octet-stream';
const JSON_TYPE = 'content-type: application/json';
const CONTINUE = 'expect: 100-continue';
const ROUTES = ['POST /score', 'POST /feedback', 'GET /models', 'GET /livez', 'GET /metrics', 'GET /docs'];
const METRICS_ROUTES = ['GET /metrics', 'GET /livez', 'GET /readyz'];

function codeOf({ status, body }: RawAnswer): string {
  return `${status} ${(JSON.parse(body) as { code: string }).code}`;
}

/** For each route of both ports. */
function onEachRoute(what: string, lines: (route: string) => readonly string[], expected: string): void {
  test(`${what}: ${expected} on every route`, async (t) => {
    const { listen } = await startApp(t, fakeEngine());
    const [origin, metricsOrigin] = await Promise.all([listen(), startMetricsApp(t)]);
    const routes = [
      ...ROUTES.map((route) => [origin, route] as const),
      ...METRICS_ROUTES.map((route) => [metricsOrigin, route] as const),
    ];
    for (const [address, route] of routes) {
      const client = await rawClient(t, address);
      client.socket.write([...lines(route), '', ''].join('\r\n'));
      const [answer] = await client.receive(1);
      assert.equal(answer && codeOf(answer), expected, route);
      if (expected.startsWith('415')) assert.equal(answer?.headers['accept-encoding'], 'identity');
    }
  });
}

onEachRoute('no Host', (route) => [`${route} HTTP/1.1`], '400 malformed_request');
onEachRoute(
  'two Hosts',
  (route) => [`${route} HTTP/1.1`, 'Host: a', 'x: 1', 'HOST: a'],
  '400 malformed_request',
);
onEachRoute(
  'another expectation',
  (route) => [`${route} HTTP/1.1`, 'host: a', 'expect: tea'],
  '417 expectation_failed',
);
for (const coding of ['gzip', 'GZIP', 'br', 'identity, gzip', 'x-unknown']) {
  onEachRoute(
    `the content coding ${coding}`,
    (route) => [`${route} HTTP/1.1`, 'host: a', BINARY, `content-encoding: ${coding}`],
    '415 unsupported_media_type',
  );
}

test('identity is a content coding in any case, and HTTP/1.0 needs no Host', async (t) => {
  const { listen } = await startApp(t, fakeEngine());
  const client = await rawClient(t, await listen());
  for (const coding of ['identity', 'Identity', ' IDENTITY ']) {
    client.socket.write(
      requestHead('POST /score', BINARY, `content-length: ${payload.length}`, `content-encoding: ${coding}`),
    );
    client.socket.write(payload);
  }
  client.socket.write('GET /livez HTTP/1.0\r\n\r\n');
  await client.receive();
  assert.deepEqual(client.statuses, [200, 200, 200, 200]);
});

test('every method that Node knows is answered with 405 and Allow where an address does not take it', async (t) => {
  const { listen } = await startApp(t, fakeEngine());
  const [origin, metricsOrigin] = await Promise.all([listen(), startMetricsApp(t)]);
  for (const [address, path, allow] of [
    [origin, '/score', 'POST'],
    [origin, '/feedback', 'POST'],
    [origin, '/models', 'GET, HEAD'],
    [metricsOrigin, '/metrics', 'GET, HEAD'],
  ] as const) {
    // CONNECT has no path, and an answer to HEAD no body.
    const taken = new Set(['CONNECT', 'HEAD', ...allow.split(', ')]);
    const others = METHODS.filter((method) => !taken.has(method));
    for (const method of others) {
      const client = await rawClient(t, address);
      client.socket.write(
        requestHead(`${method} ${path}`, 'content-type: none of the known', 'content-length: 0'),
      );
      const [answer] = await client.receive(1);
      assert.deepEqual([answer?.status, answer?.headers['allow']], [405, allow], `${method} ${path}`);
      assert.match(answer?.body ?? '', /"code":"method_not_allowed"/);
    }
  }
});

test('a method that Node does not know is answered with a problem document', async (t) => {
  const { listen } = await startApp(t, fakeEngine());
  for (const origin of [await listen(), await startMetricsApp(t)]) {
    const client = await rawClient(t, origin);
    client.socket.write(requestHead('BREW /livez'));
    const [answer] = await client.receive();
    assert.equal(answer && codeOf(answer), '400 malformed_request');
  }
});

const noKey = new ApiKeys([]);

for (const [what, start, headers, expected] of [
  ['a body that is too large', 'POST /score', [BINARY, `content-length: ${LIMITS.maxBodyBytes + 1}`], 413],
  ['feedback that is too large', 'POST /feedback', [JSON_TYPE, 'content-length: 9999999'], 413],
  ['an unknown media type', 'POST /score', ['content-type: text/plain', 'content-length: 9'], 415],
  ['no media type', 'POST /score', ['content-length: 9'], 415],
  ['a compressed body', 'POST /score', [BINARY, 'content-length: 9', 'content-encoding: gzip'], 415],
  ['feedback of another media type', 'POST /feedback', [BINARY, 'content-length: 9'], 415],
  ['a chunked body', 'POST /score', [BINARY, 'transfer-encoding: chunked'], 411],
  ['an unknown address', 'POST /nothing', [BINARY, 'content-length: 9'], 404],
  ['a wrong method', 'PUT /score', [BINARY, 'content-length: 9'], 405],
  ['a deadline that has passed', 'POST /score', [BINARY, 'content-length: 9', 'x-deadline-ms: 0'], 200],
  [
    'a deadline that is not a number',
    'POST /score',
    [BINARY, 'content-length: 9', 'x-deadline-ms: soon'],
    400,
  ],
] as const) {
  test(`100-continue, ${what}: ${expected} without an invitation, and the connection ends`, async (t) => {
    const { listen } = await startApp(t, fakeEngine());
    const client = await rawClient(t, await listen());
    client.socket.write(requestHead(start, ...headers, CONTINUE));
    await client.receive();
    assert.deepEqual(client.statuses, [expected]);
    assert.equal(client.answers[0]?.headers['connection'], 'close');
  });
}

test('100-continue without an API key: 401 without an invitation', async (t) => {
  const { listen } = await startApp(t, fakeEngine(), {
    operatorFiles: operatorFiles({ apiKeys: () => noKey }),
  });
  const client = await rawClient(t, await listen());
  client.socket.write(requestHead('POST /score', BINARY, 'content-length: 9', CONTINUE));
  await client.receive();
  assert.deepEqual(client.statuses, [401]);
});

test('100-continue with a full queue: 503 without an invitation', async (t) => {
  const { listen } = await startApp(t, fakeEngine({ queueRefusal: () => 'overloaded' }));
  const client = await rawClient(t, await listen());
  client.socket.write(requestHead('POST /score', BINARY, `content-length: ${payload.length}`, CONTINUE));
  await client.receive();
  assert.deepEqual(client.statuses, [503]);
});

for (const [what, start, type, body, expected] of [
  ['a body to score', 'POST /score', BINARY, payload, 200],
  ['feedback', 'POST /feedback', JSON_TYPE, Buffer.from('{}'), 422],
] as const) {
  test(`100-continue, ${what}: it is invited, and the connection is kept`, async (t) => {
    const { listen } = await startApp(t, fakeEngine());
    const client = await rawClient(t, await listen());
    client.socket.write(requestHead(start, type, `content-length: ${body.length}`, 'Expect: 100-Continue'));
    await client.receive(1);
    client.socket.write(body);
    await client.receive(2);
    client.socket.write(requestHead('GET /livez'));
    await client.receive(3);
    assert.deepEqual(client.statuses, [100, expected, 200]);
  });
}
