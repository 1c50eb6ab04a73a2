/** The options of a client and its origin are checked where the client is made. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InvalidInputError, ProbeClient as FetchClient } from '../../../clients/typescript/src/index.js';
import { ProbeClient as NodeClient } from '../../../clients/typescript/src/node.js';
import { fakeEngine, startApp } from '../../support/app.js';
import { httpServer } from '../../support/http-servers.js';

const ORIGIN = 'http://127.0.0.1:1';
const CLIENTS = [FetchClient, NodeClient];

function refusal(make: () => unknown): InvalidInputError {
  try {
    make();
  } catch (error) {
    assert.ok(error instanceof InvalidInputError, String(error));
    return error;
  }
  return assert.fail('it was accepted');
}

for (const origin of [
  '',
  'nonsense',
  '127.0.0.1:8080',
  'ftp://127.0.0.1',
  'http://127.0.0.1/?a=1',
  'http://127.0.0.1/#a',
  'http://user:secret@127.0.0.1',
  'unix:',
  undefined,
  1,
])
  test(`the origin ${origin} is refused`, () => {
    for (const Client of CLIENTS) assert.equal(refusal(() => new Client(origin as string)).field, 'origin');
  });

test('a Unix domain socket needs the entry point for Node', () => {
  assert.match(refusal(() => new FetchClient('unix:/run/probe.sock')).message, /\/node/);
});

for (const [field, value] of [
  ['deadlineMs', 0],
  ['deadlineMs', NaN],
  ['deadlineMs', '100'],
  ['retries', -1],
  ['retries', Infinity],
  ['breakerFailures', -1],
  ['breakerSeconds', -1],
  ['onMistake', 'ignore'],
] as const)
  test(`${field}: ${value} is refused`, () => {
    for (const Client of CLIENTS) {
      const error = refusal(() => new Client(ORIGIN, { [field]: value }));
      assert.equal(error.field, field);
      assert.ok(error.received.includes(String(value)));
    }
  });

test('connections: 0 is refused', () => {
  assert.equal(refusal(() => new NodeClient(ORIGIN, { connections: 0 })).field, 'connections');
});

test('a key that HTTP cannot carry is refused without repeating it', () => {
  for (const Client of CLIENTS)
    assert.doesNotMatch(refusal(() => new Client(ORIGIN, { apiKey: 'a\nsecret' })).message, /secret/);
});

test('the key of the environment is used unless another is given', async (t) => {
  const seen: unknown[] = [];
  const origin = await httpServer(t, (request, response) => {
    seen.push(request.headers.authorization);
    response.end('{"models": []}');
  });
  process.env['DIFFUSION_PROBE_API_KEY'] = 'of the environment';
  t.after(() => delete process.env['DIFFUSION_PROBE_API_KEY']);
  for (const options of [{}, { apiKey: 'given' }])
    for (const Client of CLIENTS) {
      const client = new Client(origin, options);
      await client.models();
      await client.close();
    }
  const keys = ['Bearer of the environment', 'Bearer given'];
  assert.deepEqual(
    seen,
    keys.flatMap((key) => [key, key]),
  );
});

test('another fetch is used instead of the global one', async (t) => {
  const { app } = await startApp(t, fakeEngine());
  const client = new FetchClient('http://probe/', {
    fetch: async (url, { method = 'GET', headers }) => {
      const { body } = await app.inject({
        url: new URL(url).pathname,
        method: method as 'GET',
        headers: headers as Record<string, string>,
      });
      return new Response(body);
    },
  });
  assert.deepEqual(
    (await client.models())?.map(({ name, state }) => [name, state]),
    [['tiny', 'serving']],
  );
});
