/** Tests behaviour of Node and Fastify that only a real socket shows: lengths, limits, clients that leave, shutdown. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';

import { ClientGoneError } from '../../src/api/request-deadline.js';
import { Admission } from '../../src/api/admission.js';
import { receiveBody } from '../../src/api/receive-body.js';
import type { Engine } from '../../src/engine/types.js';
import { ProblemError } from '../../src/errors.js';
import { fakeEngine, LIMITS, startApp, type TestApp } from '../support/app.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { randomSamples, scoreBody } from '../support/samples.js';

const payload = Buffer.from(scoreBody(randomSamples(TINY_SIZE, 3, 2)));

async function openSocket({ listen }: TestApp): Promise<Socket> {
  return openSocketAt(await listen());
}

async function openSocketAt(origin: string): Promise<Socket> {
  const { port, hostname } = new URL(origin);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  return socket;
}

function head(length: number, more = ''): string {
  return `POST /score HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\ncontent-length: ${length}\r\n${more}\r\n`;
}

/** An engine whose score() resolves `asked` when it is called, and answers when it is released. */
function heldEngine() {
  const asked = withResolvers<AbortSignal>();
  const released = withResolvers<void>();
  const fake = fakeEngine();
  const score: Engine['score'] = async (probe, body, options) => {
    asked.resolve(options?.signal ?? assert.fail('no signal'));
    await released.promise;
    return fake.score(probe, body, options);
  };
  return { engine: fakeEngine({ score }), asked: asked.promise, release: released.resolve };
}

function withResolvers<T>() {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

async function post(
  t: TestContext,
  origin: string,
): Promise<{ status: number; connection: string | undefined }> {
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const headers = { 'content-type': 'application/octet-stream', 'content-length': payload.length };
  const sent = httpRequest(`${origin}/score`, { method: 'POST', headers, agent });
  sent.end(payload);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  await text(response);
  return { status: response.statusCode ?? 0, connection: response.headers.connection };
}

test('a waiting client does not count as gone once its body is read (fastify/fastify#6725)', async (t) => {
  const { engine, asked, release } = heldEngine();
  const { listen } = await startApp(t, engine);
  const answer = post(t, await listen());
  const signal = await asked;
  await delay(50);
  assert.ok(!signal.aborted);
  release();
  assert.equal((await answer).status, 200);
});

test('a client that leaves during inference aborts it', async (t) => {
  const { engine, asked, release } = heldEngine();
  const testApp = await startApp(t, engine);
  const socket = await openSocket(testApp);
  socket.write(head(payload.length));
  socket.write(payload);
  const signal = await asked;
  socket.destroy();
  await once(signal, 'abort');
  assert.ok(signal.reason instanceof ClientGoneError);
  release();
  await delay(20);
  assert.match(
    await testApp.metrics.registry.metrics(),
    /requests_total\{route="\/score",method="POST",status="499"\} 1/,
  );
});

test('a client that leaves in the middle of its body ends the request', async (t) => {
  const testApp = await startApp(t, fakeEngine());
  const socket = await openSocket(testApp);
  socket.write(head(payload.length));
  socket.write(payload.subarray(0, 100));
  await delay(20);
  socket.destroy();
  await delay(50);
  assert.match(await testApp.metrics.registry.metrics(), /status="499"\} 1/);
});

test('a body above the limit is refused before most of it is sent', async (t) => {
  const socket = await openSocket(await startApp(t, fakeEngine()));
  socket.write(head(LIMITS.maxBodyBytes + 1));
  socket.write(Buffer.alloc(1000));
  const answer = await text(socket);
  assert.match(answer, /^HTTP\/1\.1 413 /);
  assert.match(answer, /connection: close/i);
});

test('too many samples for the queue are refused after the body’s header, before the tensors', async (t) => {
  const queueRefusal = (_tenant: string, samples: number) => (samples > 1 ? 'overloaded' : undefined);
  const many = Buffer.from(scoreBody(randomSamples({ layers: 2, height: 64, width: 64 }, 3, 2)));
  const socket = await openSocket(await startApp(t, fakeEngine({ queueRefusal })));
  socket.write(head(many.length, 'connection: close\r\n'));
  socket.write(many.subarray(0, 1000));
  const answer = await text(socket);
  assert.match(answer, /^HTTP\/1\.1 503 /);
  assert.match(answer, /\r\nretry-after: 1\r\n/);
  assert.match(answer, /"code":"overloaded"/);

  const one = await openSocket(await startApp(t, fakeEngine({ queueRefusal })));
  const body = Buffer.from(scoreBody(randomSamples(TINY_SIZE, 3, 1)));
  one.write(head(body.length, 'connection: close\r\n'));
  for (const byte of body) one.write(Uint8Array.of(byte));
  assert.match(await text(one), /^HTTP\/1\.1 200 /);
});

test('bodies that are arriving count toward the limit in bytes until they have arrived or their clients have left', async (t) => {
  const limits = { ...LIMITS, maxQueueBytes: LIMITS.maxBodyBytes };
  const { listen } = await startApp(t, fakeEngine(), { limits });
  const origin = await listen();
  const slow = await openSocketAt(origin);
  t.after(() => slow.destroy());
  slow.write(head(LIMITS.maxBodyBytes));
  await delay(50);
  assert.equal((await post(t, origin)).status, 200, 'an announcement takes no room');
  slow.write(Buffer.alloc(LIMITS.maxBodyBytes - payload.length + 1));
  await delay(50);
  assert.equal((await post(t, origin)).status, 503);
  slow.destroy();
  while ((await post(t, origin)).status !== 200) await delay(5);
});

test('the deadline passes while the body is arriving', async (t) => {
  const socket = await openSocket(await startApp(t, fakeEngine()));
  socket.write(head(payload.length, 'x-deadline-ms: 40\r\nconnection: close\r\n'));
  socket.write(payload.subarray(0, 100));
  const answer = await text(socket);
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.match(answer, /"outcome":"failed_open","reason":"deadline"/);
});

test('closing does not wait for a busy connection that is kept alive (fastify/fastify#7044)', async (t) => {
  const { engine, asked, release } = heldEngine();
  let draining = false;
  const { app, listen } = await startApp(t, engine, { isDraining: () => draining });
  const answer = post(t, await listen());
  await asked;
  draining = true;
  const started = performance.now();
  const closed = app.close();
  await delay(20);
  release();
  assert.deepEqual(await answer, { status: 200, connection: 'close' });
  await closed;
  assert.ok(performance.now() - started < 2000);
});

/** Receives a body of six bytes. */
function receive(stream: PassThrough, takeMemory = (length: number) => new SharedArrayBuffer(length)) {
  const arrival = new Admission(fakeEngine(), LIMITS).admit('', 6);
  return receiveBody(stream, { arrival, takeMemory, signal: new AbortController().signal });
}

test('a body that arrives in pieces is received into the given memory', async () => {
  const stream = new PassThrough();
  const memory = new SharedArrayBuffer(6);
  const received = receive(stream, () => memory);
  stream.write('abc');
  stream.end('def');
  assert.equal(await received, memory);
  assert.equal(Buffer.from(memory).toString(), 'abcdef');
});

for (const [what, chunks] of [
  ['more', ['abcd', 'efg']],
  ['fewer', ['ab']],
] as const) {
  test(`a body of ${what} bytes than announced is refused`, async () => {
    const stream = new PassThrough();
    const received = receive(stream);
    for (const chunk of chunks) stream.write(chunk);
    stream.end();
    await assert.rejects(
      received,
      (error) => error instanceof ProblemError && error.code === 'malformed_body',
    );
  });
}
