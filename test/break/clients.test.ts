/** Tests that clients that leave, are slow or send too much affect no other client and leave no memory behind. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { LIMITS, startRealApp } from '../support/app.js';
import { ask, underLoad } from '../support/load.js';
import { memoryInUse } from '../support/memory.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { randomSamples, scoreBody } from '../support/samples.js';

const LEAVERS = 150;
const MOST_GROWTH_BYTES = 8 * 1024 * 1024;

const body = Buffer.from(scoreBody(randomSamples({ ...TINY_SIZE, layers: 2 }, 3, 8)));

async function open(origin: string): Promise<Socket> {
  const { port, hostname } = new URL(origin);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  return socket.on('error', () => {});
}

/** The bytes that a connection receives until it is closed or reset. */
async function answerOf(socket: Socket): Promise<string> {
  let answer = '';
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString('latin1');
  });
  // Not once(), which rejects on the error of a reset, while the answer may have come before it.
  await new Promise((resolve) => socket.on('close', resolve));
  return answer;
}

function head(length: number | 'chunked'): string {
  const framing = length === 'chunked' ? 'transfer-encoding: chunked' : `content-length: ${length}`;
  return `POST /score HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\n${framing}\r\n\r\n`;
}

test('clients that leave during their headers, their body or their wait affect no other client', async (t) => {
  const { listen, engine, metrics } = await startRealApp(t, {}, { maxQueueSamples: 10_000 }, { work: 10 });
  const origin = await listen();
  const whole = Buffer.concat([Buffer.from(head(body.length)), body]);
  const leave = async (sentBytes: number): Promise<void> => {
    const socket = await open(origin);
    socket.write(whole.subarray(0, sentBytes));
    await pause(sentBytes % 7);
    socket.destroy();
  };
  const rounds = async (): Promise<void> => {
    for (let client = 0; client < LEAVERS; client += 1) {
      await leave(client % 3 === 0 ? whole.length : Math.ceil((whole.length * (client % 10)) / 10));
    }
    while (engine.queueDepth().samples > 16) await pause(5);
  };
  await rounds();
  const before = memoryInUse();
  const tally = await underLoad(t, origin, rounds);
  while (engine.queueDepth().samples > 0) await pause(5);
  const growth = memoryInUse() - before;
  assert.deepEqual(Object.keys(tally), ['scored'], JSON.stringify(tally));
  assert.deepEqual(engine.queueDepth(), { samples: 0, bytes: 0 });
  assert.ok(growth < MOST_GROWTH_BYTES, `${growth} bytes more`);
  const counted = await metrics.registry.metrics();
  assert.match(counted, /skipped_entries_total\{reason="aborted"\} [1-9]/);
  assert.match(counted, /requests_total\{route="\/score",method="POST",status="499"\} [1-9]/);
  assert.doesNotMatch(counted, /status="5[^}]*} [1-9]/);
});

test('slow senders are disconnected, and do not delay other clients meanwhile', async (t) => {
  const { listen, engine } = await startRealApp(t, { requestTimeoutMs: 1000 });
  const origin = await listen();
  const slow = await Promise.all(Array.from({ length: 20 }, () => open(origin)));
  const answers = Promise.all(slow.map(answerOf));
  const sending = setInterval(() => {
    for (const socket of slow) socket.write('x');
  }, 20);
  t.after(() => clearInterval(sending));
  for (const socket of slow) socket.write(head(body.length));
  const tally = await underLoad(t, origin, async () => {
    for (const answer of await answers) assert.match(answer, /^HTTP\/1\.1 408 /);
  });
  assert.deepEqual(Object.keys(tally), ['scored'], JSON.stringify(tally));
  assert.deepEqual(engine.queueDepth(), { samples: 0, bytes: 0 });
});

for (const [how, framing, status] of [
  ['announced', LIMITS.maxBodyBytes + 1, 413],
  ['in chunks', 'chunked', 411],
] as const) {
  test(`a body over the limit, ${how}, is refused and not received`, async (t) => {
    const { listen } = await startRealApp(t);
    const origin = await listen();
    const socket = await open(origin);
    const chunk = Buffer.alloc(65_536);
    const send = (): void => {
      if (framing === 'chunked') socket.write(`${chunk.length.toString(16)}\r\n`);
      socket.write(chunk);
      if (framing === 'chunked') socket.write('\r\n');
    };
    socket.write(head(framing));
    const answer = answerOf(socket);
    await once(socket, 'data');
    // A client that continues to send is disconnected.
    const sending = setInterval(send, 1);
    t.after(() => clearInterval(sending));
    assert.match(await answer, new RegExp(`^HTTP/1\\.1 ${status} `));
    assert.ok(socket.bytesWritten < 100 * LIMITS.maxBodyBytes, 'the connection was closed');
    assert.equal((await ask(origin)).body.outcome, 'scored');
  });
}
