/** Which pages may call the service from a browser, by CORS_ORIGINS. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseApiKeys } from '../../src/config/key-files.js';
import { readSettings } from '../../src/config/settings.js';
import { fakeEngine, operatorFiles, startApp } from '../support/app.js';
import { rawClient, requestHead } from '../support/raw-http.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { randomSamples, scoreBody } from '../support/samples.js';

const PAGE = 'https://app.example.com';
const PREFLIGHT = {
  method: 'OPTIONS',
  url: '/score',
  headers: {
    origin: PAGE,
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'authorization,content-type,x-deadline-ms',
  },
} as const;
const SCORE = {
  method: 'POST',
  url: '/score',
  headers: { 'content-type': 'application/octet-stream', origin: PAGE },
  payload: Buffer.from(scoreBody(randomSamples(TINY_SIZE, 3, 2))),
} as const;

test('unless it is set, no page may', async (t) => {
  const { app } = await startApp(t, fakeEngine());
  const [preflight, scored] = [await app.inject(PREFLIGHT), await app.inject(SCORE)];
  assert.deepEqual([preflight.statusCode, scored.statusCode], [405, 200]);
  for (const { headers } of [preflight, scored])
    assert.deepEqual(
      Object.keys(headers).filter((name) => name.startsWith('access-control')),
      [],
    );
});

test('pages of the named origins may, and no others', async (t) => {
  const { app } = await startApp(t, fakeEngine(), {
    corsOrigins: ['http://localhost:3000', PAGE],
  });
  const preflight = await app.inject(PREFLIGHT);
  assert.deepEqual([preflight.statusCode, preflight.body], [204, '']);
  assert.equal(preflight.headers['access-control-allow-origin'], PAGE);
  assert.match(String(preflight.headers['access-control-allow-methods']), /POST/);
  const allowed = String(preflight.headers['access-control-allow-headers']).split(', ');
  for (const name of PREFLIGHT.headers['access-control-request-headers'].split(','))
    assert.ok(allowed.includes(name), name);
  const scored = await app.inject(SCORE);
  assert.equal(scored.statusCode, 200);
  assert.equal(scored.headers['access-control-allow-origin'], PAGE);
  assert.match(String(scored.headers['access-control-expose-headers']), /retry-after/);

  const foreign = { ...PREFLIGHT, headers: { ...PREFLIGHT.headers, origin: 'https://evil.example' } };
  const refused = await app.inject(foreign);
  assert.equal(refused.statusCode, 405);
  assert.equal(refused.headers['access-control-allow-origin'], undefined);
  for (const { headers } of [scored, refused, await app.inject('/livez')])
    assert.equal(headers['vary'], 'origin');
  assert.equal((await app.inject({ ...PREFLIGHT, headers: {} })).statusCode, 405, 'no preflight');
});

test('preflights are counted, from zero', async (t) => {
  const { listen } = await startApp(t, fakeEngine(), { corsOrigins: [PAGE] });
  const origin = await listen();
  const count = async (): Promise<string | undefined> => {
    const metrics = await (await fetch(`${origin}/metrics`)).text();
    return /requests_total\{route="unknown",method="OPTIONS",status="204"\} (\d+)/.exec(metrics)?.[1];
  };
  assert.equal(await count(), '0');
  const { method, url, headers } = PREFLIGHT;
  // fetch sends none of these headers.
  const client = await rawClient(t, origin);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  client.socket.write(requestHead(`${method} ${url}`, ...lines));
  await client.receive(1);
  assert.deepEqual(client.statuses, [204]);
  assert.equal(await count(), '1');
});

test('* allows the pages of all origins', async (t) => {
  const { app } = await startApp(t, fakeEngine(), { corsOrigins: ['*'] });
  for (const request of [PREFLIGHT, SCORE]) {
    const { headers } = await app.inject(request);
    assert.deepEqual([headers['access-control-allow-origin'], headers['vary']], ['*', undefined]);
  }
});

test('a preflight needs no API key, and a page can read that its request had none', async (t) => {
  const sha256 = '0'.repeat(64);
  const keys = parseApiKeys(JSON.stringify({ keys: [{ id: 'a', sha256 }] }));
  const { app } = await startApp(t, fakeEngine(), {
    corsOrigins: [PAGE],
    operatorFiles: operatorFiles({ apiKeys: () => keys }),
  });
  assert.equal((await app.inject(PREFLIGHT)).statusCode, 204);
  const { statusCode, headers } = await app.inject(SCORE);
  assert.deepEqual([statusCode, headers['access-control-allow-origin']], [401, PAGE]);
});

test('the setting lists origins', () => {
  for (const [text, origins] of [
    ['*', ['*']],
    [' https://App.example.com , http://[::1]:3000', [PAGE, 'http://[::1]:3000']],
  ] as const) {
    const result = readSettings({ CORS_ORIGINS: text });
    assert.ok(result.ok);
    assert.deepEqual(result.settings.corsOrigins, origins);
  }
  for (const text of ['app.example.com', 'https://app.example.com/', 'https://a,', 'https://a,*', 'null'])
    assert.ok(!readSettings({ CORS_ORIGINS: text }).ok, text);
});
