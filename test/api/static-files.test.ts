/** STATIC_DIR: a folder's files at `/`, with the headers of a page, and nothing beside the folder. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';

import { StartError } from '../../src/errors.js';
import { parseApiKeys } from '../../src/config/key-files.js';
import { fakeEngine, operatorFiles, startApp } from '../support/app.js';
import { runProcess } from '../support/process.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const SCRIPT = 'console.log("a page");\n'.repeat(20);

/** A folder with a page, and a file beside it that is not of the page. */
async function pageFolder(t: TestContext): Promise<string> {
  const parent = await temporaryFolder(t);
  const folder = path.join(parent, 'page');
  await mkdir(path.join(folder, 'assets'), { recursive: true });
  await writeFile(path.join(parent, 'secret.txt'), 'secret');
  await writeFile(path.join(folder, '.hidden'), 'secret');
  await writeFile(path.join(folder, 'index.html'), '<!doctype html><title>A page</title>');
  await writeFile(path.join(folder, 'assets', 'app-1a2b.js'), SCRIPT);
  await writeFile(path.join(folder, 'assets', 'app-1a2b.js.gz'), gzipSync(SCRIPT));
  await writeFile(path.join(folder, 'assets', 'ort.wasm'), Buffer.from([0, 1, 2, 3, 4, 5, 6, 7]));
  return folder;
}

async function startWithPage(t: TestContext, options: Parameters<typeof startApp>[2] = {}) {
  return startApp(t, fakeEngine(), { staticDir: await pageFolder(t), ...options });
}

test('without it, / leads to the documentation as before', async (t) => {
  const { app } = await startApp(t, fakeEngine());
  const response = await app.inject('/');
  assert.deepEqual([response.statusCode, response.headers.location], [302, '/docs']);
});

test('the page is at /, isolated from other origins, and loads from this service alone', async (t) => {
  const { app } = await startWithPage(t);
  const { statusCode, headers, body } = await app.inject('/');
  assert.equal(statusCode, 200);
  assert.match(body, /<title>A page/);
  assert.equal(headers['content-type'], 'text/html; charset=utf-8');
  assert.equal(headers['cache-control'], 'no-cache');
  assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
  assert.equal(headers['cross-origin-embedder-policy'], 'require-corp');
  assert.equal(headers['x-content-type-options'], 'nosniff');
  const policy = String(headers['content-security-policy']);
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /script-src 'self' 'wasm-unsafe-eval';/);
  assert.doesNotMatch(policy, /unsafe-inline|'unsafe-eval'|https?:|\*/);
});

test('an asset is cached for ever, compressed where that is taken, and sent in parts', async (t) => {
  const { app } = await startWithPage(t);
  const plain = await app.inject('/assets/app-1a2b.js');
  assert.equal(plain.body, SCRIPT);
  assert.equal(plain.headers['cache-control'], 'public, max-age=31536000, immutable');
  assert.equal(plain.headers.vary, 'accept-encoding');
  const headers = { 'accept-encoding': 'gzip' };
  const compressed = await app.inject({ url: '/assets/app-1a2b.js', headers });
  assert.equal(compressed.headers['content-encoding'], 'gzip');
  assert.match(String(compressed.headers['content-type']), /javascript/);
  assert.deepEqual(compressed.rawPayload, gzipSync(SCRIPT));
  const wasm = await app.inject({ url: '/assets/ort.wasm', headers: { ...headers, range: 'bytes=2-4' } });
  assert.deepEqual([wasm.statusCode, wasm.headers['content-type']], [206, 'application/wasm']);
  assert.deepEqual([...wasm.rawPayload], [2, 3, 4]);
});

test('a page that has not changed is not sent again', async (t) => {
  const { app } = await startWithPage(t);
  const { etag } = (await app.inject('/')).headers;
  const again = await app.inject({ url: '/', headers: { 'if-none-match': String(etag) } });
  assert.equal(again.statusCode, 304);
});

for (const url of [
  '/../secret.txt',
  '/assets/../../secret.txt',
  '/%2e%2e/secret.txt',
  '/assets/..%2f..%2fsecret.txt',
  '/..%5csecret.txt',
  '/.hidden',
  '/assets/app-1a2b.js.gz',
  '/assets/',
  '/none.js',
]) {
  test(`${url} is not of the page`, async (t) => {
    const { app } = await startWithPage(t);
    const response = await app.inject(url);
    assert.equal(response.statusCode, 404);
    assert.equal(response.json<{ code: string }>().code, 'not_found');
    assert.ok(!response.body.includes('secret\n'));
  });
}

test('the other routes stay: a wrong method is 405, and the documentation is at /docs', async (t) => {
  const { app } = await startWithPage(t);
  const wrong = await app.inject('/score');
  assert.deepEqual([wrong.statusCode, wrong.headers.allow], [405, 'POST']);
  assert.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 405);
  assert.equal((await app.inject('/docs')).statusCode, 200);
});

test('the page needs no API key, the service still does', async (t) => {
  const sha256 = createHash('sha256').update('a key').digest('hex');
  const keys = parseApiKeys(JSON.stringify({ keys: [{ id: 'caller', sha256 }] }));
  const { app } = await startWithPage(t, { operatorFiles: operatorFiles({ apiKeys: () => keys }) });
  assert.equal((await app.inject('/')).statusCode, 200);
  assert.equal((await app.inject('/assets/ort.wasm')).statusCode, 200);
  assert.equal((await app.inject('/models')).statusCode, 401);
});

test('a folder that is missing, or has no page, is an error at the start', async (t) => {
  const folder = await pageFolder(t);
  for (const [staticDir, message] of [
    [path.join(folder, 'none'), /STATIC_DIR: expected a folder with index\.html: ENOENT/],
    [path.join(folder, 'index.html'), /STATIC_DIR: .* is no folder/],
    [path.join(folder, 'assets'), /STATIC_DIR: .* has none/],
  ] as const) {
    await assert.rejects(
      startApp(t, fakeEngine(), { staticDir }),
      (error) => error instanceof StartError && message.test(error.message),
    );
  }
});

test('the program ends with one sentence and exit code 1', async (t) => {
  const child = runProcess(t, { STATIC_DIR: '/nowhere', MODELS_DIR: await temporaryFolder(t) });
  const [output] = await Promise.all([text(child.stdout!), once(child, 'exit')]);
  assert.equal(child.exitCode, 1);
  assert.match(output, /"reason":"STATIC_DIR: expected a folder with index\.html: ENOENT/);
});
