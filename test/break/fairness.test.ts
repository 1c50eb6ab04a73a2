/** Tests that a flood and silent senders take no turn from others: of another caller, and of another probe. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { startRealApp } from '../support/app.js';
import { type Answer, ask } from '../support/load.js';
import { TINY_SIZE, writeProbe } from '../support/probe-folder.js';
import { randomSamples, scoreBody } from '../support/samples.js';

const FLOOD = 60;
const POLITE = 20;
/** Each request is a batch of its own. */
const ENGINE = { maxBatchSamples: 2, maxQueueSamples: 1000, maxQueueBytes: 1e8 };
const WORK = 40;

const bodyFor = (model: string): Buffer => Buffer.from(scoreBody(randomSamples(TINY_SIZE, 3, 2), { model }));

interface Caller {
  readonly tenant: string;
  readonly model?: string;
  readonly deadlineMs?: number;
}

/** Sends requests one after the other; resolves with the answers and how long each took, ms. */
async function send(origin: string, caller: Caller, isOver: (sent: number) => boolean) {
  const { tenant, model = 'tiny', deadlineMs } = caller;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const answers: { answer: Answer; ms: number }[] = [];
  while (!isOver(answers.length)) {
    const from = performance.now();
    const answer = await ask(origin, {
      agent,
      body: bodyFor(model),
      deadlineMs,
      headers: { 'x-tenant': tenant },
    });
    answers.push({ answer, ms: performance.now() - from });
    if (tenant === 'polite') await pause(5);
  }
  agent.destroy();
  return answers;
}

/** The median time of polite requests beside a flood, as a share of the flood's own. */
async function beside(t: TestContext, polite: Caller, flood: Caller) {
  const { listen, modelsDir, engine } = await startRealApp(t, { tenantHeader: 'x-tenant' }, ENGINE, {
    work: WORK,
  });
  await writeProbe(modelsDir, { name: 'quiet', work: WORK });
  await engine.reload();
  const origin = await listen();
  let isOver = false;
  const floods = Array.from({ length: FLOOD }, () => send(origin, flood, () => isOver));
  while (engine.queueDepth().samples < FLOOD) await pause(5);
  const answers = await send(origin, polite, (sent) => sent === POLITE);
  isOver = true;
  const flooded = (await Promise.all(floods)).flat();
  return { answers: answers.map(({ answer }) => answer), share: median(answers) / median(flooded) };
}

function median(answers: readonly { readonly ms: number }[]): number {
  const sorted = answers.map(({ ms }) => ms).toSorted((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

const isScored = ({ body }: Answer): boolean => body.outcome === 'scored';

test('a polite caller beside a flood waits for a few batches, not for the flood', async (t) => {
  const { answers, share } = await beside(t, { tenant: 'polite' }, { tenant: 'flood' });
  assert.ok(answers.every(isScored));
  assert.ok(share < 0.25, `${share} of the flood's time`);
});

test('a polite caller with a deadline is not predicted late because of a flood', async (t) => {
  const deadlineMs = 2000;
  const { answers } = await beside(t, { tenant: 'polite', deadlineMs }, { tenant: 'flood' });
  const scored = answers.filter(isScored).length;
  assert.ok(scored >= 0.95 * answers.length, `${scored} of ${answers.length}`);
});

test('a flood on one probe does not hold up another one, even of the same caller', async (t) => {
  const { answers, share } = await beside(t, { tenant: 'flood', model: 'quiet' }, { tenant: 'flood' });
  assert.ok(answers.every(isScored));
  assert.ok(share < 0.25, `${share} of the flood's time`);
});

test('silent senders of large announcements take nothing from others, and are answered 408', async (t) => {
  const limits = {
    maxBodyBytes: 1_000_000,
    maxJsonBodyBytes: 100_000,
    maxSamplesPerRequest: 8,
    maxQueueBytes: 1_000_000,
    minBodyBytesPerSecond: 1000,
  };
  const { listen } = await startRealApp(t, { limits });
  const origin = await listen();
  const { port, hostname } = new URL(origin);
  const announced = Array.from({ length: 100 }, async () => {
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    socket.on('error', () => {});
    socket.write('POST /score HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\n');
    socket.write('content-length: 1000000\r\n\r\n');
    return socket;
  });
  const sockets = await Promise.all(announced);
  await pause(50);
  for (let count = 0; count < 20; count += 1)
    assert.ok(
      isScored(await ask(origin, { deadlineMs: 10_000 })),
      'an announcement takes no room and no time',
    );
  const [socket] = sockets;
  assert.ok(socket);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1\.1 408 .*"code":"request_timeout"/s);
  assert.match(answer.toString(), /\r\nconnection: close\r\n/i);
  const closed = sockets.map((each) => (each.closed ? undefined : once(each.resume(), 'close')));
  await Promise.all(closed.filter((each) => each !== undefined));
});
