/** Tests that each request in flight is answered before its connection ends. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { fakeEngine, startApp, startMetricsApp } from '../support/app.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { rawClient, requestHead } from '../support/raw-http.js';
import { randomSamples, scoreBody } from '../support/samples.js';

const payload = Buffer.from(scoreBody(randomSamples(TINY_SIZE, 3, 2)));
const GARBAGE = 'this is no request\r\n\r\n';
const BINARY = 'content-type: application/octet-stream';
const SCORE = Buffer.concat([
  Buffer.from(requestHead('POST /score', BINARY, `content-length: ${payload.length}`)),
  payload,
]);
const FEEDBACK = `${requestHead('POST /feedback', 'content-type: application/json', 'content-length: 2')}{}`;

/** An app whose scores take a moment. */
function startSlowApp(t: TestContext, isDraining = () => false) {
  const fast = fakeEngine();
  const slow = fakeEngine({ score: (...parameters) => delay(100).then(() => fast.score(...parameters)) });
  return startApp(t, slow, { isDraining });
}

for (const [what, request, status] of [
  ['/score', SCORE, 200],
  ['/livez', requestHead('GET /livez'), 200],
  ['/feedback', FEEDBACK, 422],
  ['/models', requestHead('GET /models'), 200],
  ['/metrics', requestHead('GET /metrics'), 200],
  ['an unknown address', requestHead('GET /nothing'), 404],
] as const) {
  test(`garbage behind a request for ${what} does not cost its answer`, async (t) => {
    const { listen } = await startSlowApp(t);
    const client = await rawClient(t, await listen());
    client.socket.write(Buffer.concat([Buffer.from(request), Buffer.from(GARBAGE)]));
    await client.receive();
    assert.deepEqual(client.statuses, [status, 400]);
    const [, broken] = client.answers;
    assert.equal(broken?.headers['connection'], 'close');
    assert.match(broken.body, /"code":"malformed_request"/);
  });
}

test('garbage behind several requests, with more of it later, is answered once and last', async (t) => {
  const { listen } = await startSlowApp(t);
  const client = await rawClient(t, await listen());
  client.socket.write(Buffer.concat([SCORE, Buffer.from(requestHead('GET /livez')), SCORE]));
  client.socket.write(GARBAGE);
  await delay(20);
  client.socket.write(Buffer.alloc(1_000_000));
  await client.receive();
  assert.deepEqual(client.statuses, [200, 200, 200, 400]);
});

test('a client that ends its half behind garbage is answered too', async (t) => {
  const { listen } = await startSlowApp(t);
  const client = await rawClient(t, await listen());
  client.socket.end(Buffer.concat([SCORE, Buffer.from(GARBAGE)]));
  await client.receive();
  assert.deepEqual(client.statuses, [200, 400]);
});

test('garbage in the middle of a chunked body is the request’s own fault', async (t) => {
  const { listen } = await startSlowApp(t);
  const client = await rawClient(t, await listen());
  const chunked = requestHead(
    'POST /feedback',
    'content-type: application/json',
    'transfer-encoding: chunked',
  );
  client.socket.write(Buffer.concat([SCORE, Buffer.from(`${chunked}1\r\n{\r\nnone\r\n`)]));
  await client.receive();
  assert.deepEqual(client.statuses, [200, 400]);
});

test('a client that leaves in the middle of a body behind another request is counted as gone', async (t) => {
  const { listen, metrics } = await startSlowApp(t);
  const client = await rawClient(t, await listen());
  client.socket.end(Buffer.concat([SCORE, SCORE.subarray(0, SCORE.length - 10)]));
  await client.receive();
  assert.deepEqual(client.statuses, [200]);
  const counted = await metrics.registry.metrics();
  assert.match(counted, /requests_total\{route="\/score",method="POST",status="200"\} 1/);
  assert.match(counted, /requests_total\{route="\/score",method="POST",status="499"\} 1/);
});

test('a request for a tunnel is answered behind the others', async (t) => {
  const { listen } = await startSlowApp(t);
  const client = await rawClient(t, await listen());
  client.socket.write(Buffer.concat([SCORE, Buffer.from(requestHead('CONNECT a:80'))]));
  await client.receive();
  assert.deepEqual(client.statuses, [200, 400]);
});

test('while the service drains, only the last of the requests in flight is answered with connection: close', async (t) => {
  let draining = false;
  const { app, listen } = await startSlowApp(t, () => draining);
  const client = await rawClient(t, await listen());
  client.socket.write(Buffer.concat([SCORE, SCORE]));
  await delay(30);
  draining = true;
  const closed = app.close();
  client.socket.write(SCORE);
  await client.receive();
  assert.deepEqual(client.statuses, [200, 200, 200]);
  assert.deepEqual(
    client.answers.map(({ headers }) => headers['connection']),
    ['keep-alive', 'keep-alive', 'close'],
  );
  await closed;
});

test('closing ends idle connections, and answers a request of which a part has come', async (t) => {
  let draining = false;
  const { app, listen } = await startSlowApp(t, () => draining);
  const origin = await listen();
  const [fresh, idle, sending] = await Promise.all([1, 2, 3].map(() => rawClient(t, origin)));
  assert.ok(fresh && idle && sending);
  for (const { socket } of [idle, sending]) socket.write(requestHead('GET /livez'));
  await Promise.all([idle.receive(1), sending.receive(1)]);
  sending.socket.write(SCORE.subarray(0, 20));
  await delay(20);
  draining = true;
  const closed = app.close();
  await Promise.all([fresh.receive(), idle.receive()]);
  assert.deepEqual([fresh.statuses, idle.statuses], [[], [200]]);
  sending.socket.write(SCORE.subarray(20));
  const [, answer] = await sending.receive();
  assert.deepEqual([answer?.status, answer?.headers['connection']], [200, 'close']);
  await closed;
});

test('an answer without the header does not keep a closing app open', async (t) => {
  let draining = false;
  const { app, listen } = await startSlowApp(t, () => draining);
  const client = await rawClient(t, await listen());
  client.socket.write(SCORE.subarray(0, 20));
  await delay(20);
  draining = true;
  const closed = app.close();
  client.socket.write(Buffer.concat([SCORE.subarray(20), Buffer.from(requestHead('GET /%zz'))]));
  await client.receive();
  assert.deepEqual(client.statuses, [200, 400]);
  await closed;
});

test('the metrics port answers garbage and slow headers with problem documents', async (t) => {
  const origin = await startMetricsApp(t, { requestTimeoutMs: 300 });
  const client = await rawClient(t, origin);
  client.socket.write(`${requestHead('GET /metrics')}${GARBAGE}`);
  await client.receive();
  assert.deepEqual(client.statuses, [200, 400]);
  const slow = await rawClient(t, origin);
  slow.socket.write('GET /metrics HTTP/1.1\r\n');
  const [answer] = await slow.receive();
  assert.equal(answer?.status, 408);
  assert.match(answer.body, /"code":"request_timeout"/);
});
