/** Tests that no request, driven to the limits of its route, holds the event loop for long. */
import assert from 'node:assert/strict';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { test, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import type { InjectOptions } from 'fastify';

import { KeyRing } from '../../src/feedback/keys.js';
import { newNonce, signReceipt } from '../../src/feedback/receipt.js';
import { fakeEngine, operatorFiles, startApp, type TestApp } from '../support/app.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { receiptOf } from '../support/receipt.js';
import { randomSamples, scoreBody } from '../support/samples.js';

const MOST_MS = 20;
/** The machine may disturb some of them. */
const TRIES = 7;
const NS_PER_MS = 1e6;
const JSON_BYTES = 2_097_152;
const FEEDBACK_BYTES = 2_359_296;
const HEADER_BYTES = 65_536;

const SAMPLES = randomSamples(TINY_SIZE, 3, 1);
const KEYS = new KeyRing([{ id: 'k', secret: Buffer.alloc(32, 1) }]);
const LIMITS = {
  maxBodyBytes: 67_108_864,
  maxJsonBodyBytes: JSON_BYTES,
  maxSamplesPerRequest: 64,
  maxQueueBytes: 268_435_456,
  minBodyBytesPerSecond: 0,
};

/** As many units, with commas between them, as fit. */
function listOf(unit: string, bytes: number): string {
  return `[${Array.from({ length: Math.floor((bytes - 1000) / (unit.length + 1)) }, () => unit).join(',')}]`;
}

function members(bytes: number): string {
  return `{${Array.from({ length: Math.floor(bytes / 12) }, (_, index) => `"m${String(index).padStart(6, '0')}":0`).join(',')}}`;
}

function alphas(bytes: number): string {
  return `{"name":"max_false_drop","alphas":${members(bytes - 100)}}`;
}

/** A body of nothing but a header in safetensors layout. */
function headerBody(text: string): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
  return Buffer.concat([length, Buffer.from(text)]);
}

const receipts = (): string =>
  JSON.stringify({
    feedback: Array.from({ length: 1000 }, () => ({
      receipt: signReceipt(KEYS, receiptOf({ nonce: newNonce(), issuedAt: Date.now() })),
      quality: 0.5,
    })),
  });

const feedback = (payload: string): InjectOptions => ({
  method: 'POST',
  url: '/feedback',
  headers: { 'content-type': 'application/json' },
  payload,
});
const json = (payload: string): InjectOptions => ({ ...feedback(payload), url: '/score' });
const binary = (payload: Buffer): InjectOptions => ({
  method: 'POST',
  url: '/score',
  headers: { 'content-type': 'application/octet-stream' },
  payload,
});

const REQUESTS: Readonly<Record<string, () => InjectOptions>> = {
  'GET /metrics': () => ({ url: '/metrics' }),
  'GET /models': () => ({ url: '/models' }),
  'GET /openapi.json': () => ({ url: '/openapi.json' }),
  'a thousand receipts': () => feedback(receipts()),
  'feedback of objects with many members': () =>
    feedback(`{"feedback":${listOf(members(3000), FEEDBACK_BYTES)}}`),
  'feedback of one long string': () =>
    feedback(`{"feedback":["${'\\\\'.repeat(FEEDBACK_BYTES / 2 - 100)}"]}`),
  'feedback of other letters': () => feedback(`{"feedback":["${'é'.repeat(FEEDBACK_BYTES / 2 - 100)}"]}`),
  'nested lists of numbers': () =>
    json(`{"tensors":{"attention":${listOf(listOf('0.5', 4000), JSON_BYTES)}}}`),
  'nested lists of one number': () =>
    json(`{"tensors":{"attention":${listOf(listOf('[0.25,0.125]', 8000), JSON_BYTES)}}}`),
  'a long tensor in base64': () =>
    json(`{"tensors":{"a":{"dtype":"U8","shape":[1500000],"data":"${'A'.repeat(2_000_000)}"}}}`),
  'large metadata': () => json(`{"tensors":{},"group":${listOf('{"a":[0]}', JSON_BYTES)}}`),
  'a header of many members': () => binary(headerBody(members(HEADER_BYTES - 20))),
  'a header of many ids': () =>
    binary(headerBody(JSON.stringify({ __metadata__: { sample_ids: listOf('"a"', 30_000) } }))),
  'a header of many wrong ids': () =>
    binary(headerBody(JSON.stringify({ __metadata__: { sample_ids: listOf('""', 40_000) } }))),
  'a policy of many wrong alphas': () =>
    binary(headerBody(JSON.stringify({ __metadata__: { policy: alphas(8192) } }))),
  'conditions of many members': () =>
    binary(Buffer.from(scoreBody(SAMPLES, { conditions: `{"scheduler":${members(32_700)}}` }))),
  'conditions of many values': () =>
    binary(Buffer.from(scoreBody(SAMPLES, { conditions: `{"timesteps":${listOf('{"a":[]}', 33_700)}}` }))),
  'the longest policy': () => ({
    ...binary(headerBody('{}')),
    headers: { 'content-type': 'application/octet-stream', 'x-policy': alphas(14_000) },
  }),
};

/** The longest time that the event loop was held while a request was answered, ms: of several tries the shortest. */
async function heldMs({ app }: TestApp, requestOf: () => InjectOptions): Promise<number> {
  let least = Infinity;
  for (let attempt = 0; attempt < TRIES && least >= MOST_MS; attempt += 1) {
    const request = requestOf();
    await pause(20);
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    await pause(5);
    const { statusCode } = await app.inject(request);
    assert.ok(statusCode < 500, `the answer is ${statusCode}`);
    await pause(5);
    delay.disable();
    least = Math.min(least, delay.max / NS_PER_MS);
  }
  return least;
}

function start(t: TestContext): Promise<TestApp> {
  const files = operatorFiles({ keys: () => KEYS });
  return startApp(t, fakeEngine(), { limits: LIMITS, operatorFiles: files });
}

for (const [what, requestOf] of Object.entries(REQUESTS)) {
  test(`${what}: the event loop is not held`, async (t) => {
    const app = await start(t);
    await app.app.inject({ url: '/livez' });
    const ms = await heldMs(app, requestOf);
    assert.ok(ms < MOST_MS, `${ms.toFixed(1)} ms`);
  });
}
