/** Plants private text in everything that is sent to the service and in its key files. The log must hold none of it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { encodeSafetensors, type TensorData } from '../../clients/typescript/src/safetensors.js';
import { parseApiKeys, parseReceiptKeys } from '../../src/config/key-files.js';
import { openOperatorFiles } from '../../src/config/operator-files.js';
import { MAX_SHOWN_BYTES } from '../../src/disclosure.js';
import { createLog } from '../../src/telemetry/log.js';
import { PRIVATE } from '../support/private-text.js';
import { TINY_SIZE, writeProbe } from '../support/probe-folder.js';
import { runProcess, startService } from '../support/process.js';
import { randomSamples, tensorsOf } from '../support/samples.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const KEY = `${PRIVATE}-api-key`;
const LONG = PRIVATE.repeat(1000);
const UNKNOWN_ROW = 7_731_177;
const samples = randomSamples(TINY_SIZE, 3, 2);

interface Sent {
  readonly url?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

async function send(
  origin: string,
  { url = '/score', method = 'POST', headers = {}, body = '' }: Sent,
): Promise<Answer> {
  const type = { 'content-type': 'application/octet-stream', authorization: `Bearer ${KEY}` };
  const length = { 'content-length': Buffer.byteLength(body) };
  const sent = request(`${origin}${url}`, { method, headers: { ...type, ...length, ...headers } });
  sent.end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return { status: response.statusCode ?? 0, body: await text(response) };
}

function binary(
  metadata: Record<string, string> = {},
  others: Record<string, TensorData> = {},
  row = 1,
): Uint8Array {
  const ids = BigInt64Array.from({ length: 6 }, () => BigInt(row));
  const row_ids: TensorData = { dtype: 'I64', shape: [2, 3], data: ids };
  return encodeSafetensors({ ...tensorsOf(samples), row_ids, ...others }, metadata);
}

/** A body whose header is this text. */
function withHeader(header: string): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  return Buffer.concat([length, Buffer.from(header)]);
}

function wrongRequests(planted: string): Sent[] {
  const entry = (changed: object): Buffer =>
    withHeader(JSON.stringify({ timestep: { dtype: 'F32', shape: [1], data_offsets: [0, 4], ...changed } }));
  const inMetadata = [
    { [planted]: 'x' },
    { model: planted },
    { policy: `{"name": ${planted}` },
    { policy: JSON.stringify({ name: planted }) },
    { policy: JSON.stringify({ name: 'top_k', k: 2, [planted]: 1 }) },
    { policy: JSON.stringify({ name: 'max_false_drop', alphas: { [planted]: 0.1 } }) },
    { sample_ids: JSON.stringify([planted]) },
    { sample_ids: planted },
    { sample_ids: JSON.stringify(['a', [planted]]) },
    { group: planted.repeat(60) },
    { capture_id: planted },
    { conditions_id: planted },
    { conditions: planted },
    { conditions_id: '0'.repeat(16), conditions: JSON.stringify({ [planted]: planted }) },
    { step: planted },
    { total_steps: planted },
  ];
  const other: TensorData = { dtype: 'F32', shape: [2], data: new Float32Array(2) };
  const headers = [
    planted,
    `{"${planted}": ${planted}`,
    `{"${planted}": 1, "${planted}": 2}`,
    `{"${planted}": {}}`,
    `{"__metadata__": {"${planted}": 1}}`,
  ];
  const jsons = [
    planted,
    `{"tensors": ${planted}`,
    `{"${planted}": 1, "${planted}": 2}`,
    `{"tensors": {}, "${planted}": 1}`,
    `{"tensors": {"${planted}": 5}}`,
    `{"tensors": {"${planted}": {"dtype": "${planted}"}}}`,
    `{"tensors": {"${planted}": {"dtype": "U8", "shape": ["${planted}"]}}}`,
    `{"tensors": {"${planted}": {"dtype": "U8", "shape": [1], "data": "${planted}"}}}`,
    `{"tensors": {"timestep": ["${planted}"]}}`,
    `{"tensors": {}, "model": "${planted}"}`,
    `{"feedback": [{"receipt": "${planted}", "quality": "${planted}"}], "${planted}": 1}`,
    `{"feedback": "${planted}"}`,
  ];
  const json = { 'content-type': 'application/json' };
  return [
    ...inMetadata.map((metadata): Sent => ({ body: binary(metadata) })),
    { body: binary({}, { [planted]: other }) },
    ...[{ dtype: planted }, { [planted]: 1 }, { shape: [planted] }, { data_offsets: planted }].map(
      (changed): Sent => ({ body: entry(changed) }),
    ),
    ...headers.map((header): Sent => ({ body: withHeader(header) })),
    ...['/score', '/feedback'].flatMap((url) => jsons.map((body): Sent => ({ url, headers: json, body }))),
    { url: `/${planted}` },
    { url: `/${planted}?${planted}`, method: 'GET' },
    { url: `/docs/${planted}`, method: 'GET' },
    { url: `/%zz${planted}`, method: 'GET' },
    { url: `/score?${planted}`, method: 'DELETE' },
    { headers: { 'content-type': planted }, body: planted },
    { headers: { 'content-encoding': planted }, body: binary() },
    { headers: { 'x-deadline-ms': planted }, body: binary() },
    { headers: { 'x-policy': planted }, body: binary() },
    { headers: { authorization: `Bearer ${planted}` }, body: binary() },
    { headers: { authorization: planted }, body: binary() },
  ];
}

const EVERYWHERE = {
  'x-tenant': PRIVATE,
  cookie: PRIVATE,
  'user-agent': PRIVATE,
  'x-request-id': PRIVATE,
  'request-id': PRIVATE,
  traceparent: PRIVATE,
  tracestate: PRIVATE,
};

async function start(t: TestContext) {
  const folder = await temporaryFolder(t);
  const models = path.join(folder, 'models');
  await writeProbe(models, {
    extraInputs: [{ name: 'row_ids', dtype: 'I64', shape: ['batch', 'tokens'] }],
    selftest: encodeSafetensors({
      ...tensorsOf(randomSamples(TINY_SIZE, 3, 2, 1)),
      row_ids: { dtype: 'I64', shape: [2, 3], data: new BigInt64Array(6) },
    }),
  });
  const apiKeys = path.join(folder, 'api-keys.json');
  const sha256 = createHash('sha256').update(KEY).digest('hex');
  await writeFile(apiKeys, JSON.stringify({ keys: [{ id: 'a', sha256 }] }));
  // startService() checks each line of the log.
  return startService(t, {
    MODELS_DIR: models,
    API_KEYS_FILE: apiKeys,
    TENANT_HEADER: 'x-tenant',
    LOG_LEVEL: 'trace',
  });
}

test('the log holds nothing of any request, and every problem has at most 4 KiB', async (t) => {
  const { origin, lines, stop } = await start(t);
  assert.equal((await send(origin, { body: binary({ group: PRIVATE }), headers: EVERYWHERE })).status, 200);
  for (const planted of [PRIVATE, LONG]) {
    for (const sent of wrongRequests(planted)) {
      const { status, body } = await send(origin, { ...sent, headers: { ...EVERYWHERE, ...sent.headers } });
      const what = `${status} ${body.slice(0, 300)}`;
      assert.ok(status < 500 && Buffer.byteLength(body) <= MAX_SHOWN_BYTES, what);
      if (status === 200) assert.match(body, /"accepted":0|"outcome":"scored"/, what);
      else assert.ok(((JSON.parse(body) as { field?: string }).field ?? '').length <= 100, what);
    }
  }
  const named = await send(origin, { body: binary({ [PRIVATE]: 'x' }) });
  assert.ok(named.body.includes(PRIVATE), 'the caller gets the name of the field');
  await stop();
  const refused = lines.filter(({ msg }) => msg === 'request refused');
  assert.ok(refused.length > 90);
  for (const line of refused) assert.ok(!('detail' in line) && !('err' in line), JSON.stringify(line));
  const { code, field, bytes } = refused.at(-1) ?? {};
  assert.deepEqual([code, field, bytes], ['invalid_metadata', 'other', binary({ [PRIVATE]: 'x' }).length]);
});

test('the log holds nothing of requests that fail or are not HTTP', async (t) => {
  const { origin, lines, stop } = await start(t);
  const { hostname, port } = new URL(origin);
  for (const bytes of [
    `${PRIVATE}\r\n\r\n`,
    `GET /${PRIVATE} HTTP/9.9\r\n\r\n`,
    `GET / HTTP/1.1\r\nhost: a\r\n${PRIVATE} : a\r\n\r\n`,
    `GET / HTTP/1.1\r\nhost: a\r\nx: ${PRIVATE.repeat(5000)}\r\n\r\n`,
  ]) {
    const socket = connect(Number(port), hostname);
    socket.end(bytes);
    assert.match(await text(socket), /^HTTP\/1\.1 4/);
  }
  const late = await send(origin, {
    body: binary({ group: PRIVATE }),
    headers: { 'x-deadline-ms': '-77311' },
  });
  assert.match(late.body, /failed_open/);
  for (const headers of [{}, { 'x-deadline-ms': '60000' }]) {
    const { body } = await send(origin, { headers, body: binary({ group: PRIVATE }, {}, UNKNOWN_ROW) });
    assert.match(body, /internal/);
    assert.ok(!body.includes(String(UNKNOWN_ROW)));
  }
  await stop();
  const shown = JSON.stringify(lines);
  assert.match(shown, /out of data bounds, idx=#/, 'the cause is in the log');
  assert.ok(!shown.includes(String(UNKNOWN_ROW)) && !shown.includes('77311'));
});

const SECRET = Buffer.alloc(32, 1).toString('base64');

/** What an operator may have written by mistake. The secret is at each place of the file. */
const SLIPS = [
  PRIVATE,
  `${PRIVATE}\n`,
  `{"keys": [{"id": "a", "secret": ${PRIVATE}}]}`,
  `{"keys": [{"id": "a", "secret": "${PRIVATE}", "secret": "${PRIVATE}"}]}`,
  `{"${PRIVATE}": 1, "${PRIVATE}": 1}`,
  JSON.stringify({ [PRIVATE]: 1 }),
  JSON.stringify({ keys: PRIVATE }),
  JSON.stringify({ keys: { [PRIVATE]: PRIVATE } }),
  JSON.stringify({ keys: [PRIVATE] }),
  JSON.stringify({ keys: [{ [PRIVATE]: 1 }] }),
  JSON.stringify({ keys: [{ id: 'a', secret: SECRET, [PRIVATE]: 1 }] }),
  JSON.stringify({ keys: [{ id: `${PRIVATE}==`, secret: 'x', sha256: 'x' }] }),
  JSON.stringify({ keys: [{ id: 'a', secret: PRIVATE, sha256: PRIVATE }] }),
  JSON.stringify({ keys: [{ id: [PRIVATE], secret: [PRIVATE], sha256: { [PRIVATE]: 1 } }] }),
];

test('a mistake in a key file is logged without any part of the file', async (t) => {
  const folder = await temporaryFolder(t);
  const [feedbackKeysFile, apiKeysFile] = ['keys', 'api-keys'].map((name) => path.join(folder, name));
  assert.ok(feedbackKeysFile && apiKeysFile);
  await writeFile(feedbackKeysFile, JSON.stringify({ keys: [{ id: 'a', secret: SECRET }] }));
  await writeFile(apiKeysFile, JSON.stringify({ keys: [{ id: 'a', sha256: 'a'.repeat(64) }] }));
  let shown = '';
  const log = createLog('trace', { write: (line) => (shown += line) });
  const outcomes: string[] = [];
  const refusals = (): number => outcomes.filter((outcome) => outcome === 'refused').length;
  const onReload = (_file: string, outcome: string): void => void outcomes.push(outcome);
  const opened = await openOperatorFiles({ feedbackKeysFile, apiKeysFile, log, onReload, intervalMs: 5 });
  t.after(() => opened.close());
  for (const slip of SLIPS) {
    for (const parse of [parseReceiptKeys, parseApiKeys])
      assert.throws(
        () => parse(slip),
        ({ message }: Error) => !message.includes(PRIVATE),
        slip,
      );
    for (const file of [feedbackKeysFile, apiKeysFile]) {
      const before = refusals();
      await writeFile(file, slip);
      // A mistake is reported once, so slips with the same reason may not be.
      for (let waits = 0; refusals() === before && waits < 10; waits += 1) await pause(10);
    }
  }
  assert.ok(refusals() >= 6, `${refusals()} refusals`);
  assert.equal(opened.keys().currentId, 'a');
  assert.match(shown, /"reason":"keys\.0: it has an unknown member/);
  assert.ok(!shown.includes(PRIVATE), shown);
  assert.ok(!shown.includes(SECRET));
});

test('a start with a key file that is not valid shows nothing of the file', async (t) => {
  const file = path.join(await temporaryFolder(t), 'keys.json');
  await writeFile(file, `{"keys": [{"id": "a", "secret": ${PRIVATE}}]}`);
  const child = runProcess(t, { FEEDBACK_KEYS_FILE: file });
  assert.ok(child.stdout && child.stderr);
  const shown = await Promise.all([text(child.stdout), text(child.stderr)]);
  assert.match(shown[0], /keys\.json cannot be used: not valid JSON/);
  assert.ok(!shown.join('').includes(PRIVATE), shown.join(''));
});
