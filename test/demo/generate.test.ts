/** `npm run generate` from end to end, with the real reference world and a real service process. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, after, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { PNG } from 'pngjs';

const GENERATE = fileURLToPath(new URL('../../demo/generate.js', import.meta.url));
/** The port of the discard protocol, where nothing listens. */
const NOWHERE = 'http://127.0.0.1:9';
const CAPTION = 'a cat on a blue background';

interface Failure {
  readonly code: number;
  readonly stderr: string;
}

let folder = '';
let out = '';

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'generate-'));
  out = path.join(folder, 'new', 'sheet.png');
});

after(() => rm(folder, { recursive: true }));

function generate(argv: string[], environment: NodeJS.ProcessEnv = {}) {
  const options = { env: { ...process.env, ...environment } };
  return promisify(execFile)(process.execPath, [GENERATE, '--out', out, '--url', NOWHERE, ...argv], options);
}

async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function assertEverythingKept(stdout: string): void {
  assert.match(stdout, /50 denoising steps instead of 50: 0 saved \(0%\), 2 of 2 kept/);
  assert.equal(stdout.match(/ - +- +- +keep +failed_open +[\d.]+$/gm)?.length, 2);
}

test('half of four are dropped, the others are finished, rated and drawn', async () => {
  const { stdout, stderr } = await generate([CAPTION, '--seeds', '4', '--keep', '2']);
  assert.match(stderr, /starting one/);
  assert.match(stdout, /60 denoising steps instead of 100: 40 saved/);
  assert.equal(stdout.match(/ keep +top_k +[\d.]+$/gm)?.length, 2);
  assert.equal(stdout.match(/ drop +not_top_k +-$/gm)?.length, 2);
  assert.ok(PNG.sync.read(await readFile(out)).width > 0);
});

test('with --all the dropped candidates are finished too, and the best is named', async () => {
  const { stdout } = await generate([CAPTION, '--seeds', '2', '--keep', '1', '--all', '--seed-base', '7']);
  assert.match(stdout, /^7 .* [\d.]+$/m);
  assert.match(stdout, /^8 .* [\d.]+$/m);
  assert.match(stdout, /the best of all, seed [78], was (kept|dropped)/);
  assert.match(stdout, /30 denoising steps instead of 50/, 'the same as without --all');
});

test('a service that does not start costs no image', async () => {
  const { stdout, stderr } = await generate([CAPTION, '--seeds', '2', '--keep', '1'], { WORKERS: 'many' });
  assert.match(stderr, /WORKERS: got "many"/);
  assert.match(stderr, /no scores, so everything is kept: the service did not start/);
  assertEverythingKept(stdout);
});

test('a service without a probe for the backbone costs no image', async () => {
  const { stdout, stderr } = await generate([CAPTION, '--seeds', '2', '--keep', '1'], { MODELS_DIR: folder });
  assert.match(stderr, /everything is kept: the service at .* has no probe for pictogram; it serves: none/);
  assertEverythingKept(stdout);
});

test('a service that fails after it was found costs no image', async (t) => {
  const { backbone, inputs, decision_points, capture, capture_id } = JSON.parse(
    await readFile('models/pictogram/1/probe.json', 'utf8'),
  ) as Record<string, unknown>;
  const contract = { backbone, inputs, decision_points, capture, capture_id };
  const models = [{ name: 'pictogram', version: 1, state: 'serving', contract }];
  const url = await serve(t, (request, response) => {
    if (request.url === '/score') response.writeHead(500);
    response.end(JSON.stringify({ models }));
  });
  const { stdout, stderr } = await generate([CAPTION, '--seeds', '2', '--keep', '1', '--url', url]);
  assert.match(stderr, /everything is kept: refused: the service answered with status 500/);
  assertEverythingKept(stdout);
});

test('a signal ends the run, and the service that was started for it', async () => {
  const child = spawn(process.execPath, [GENERATE, CAPTION, '--seeds', '16', '--url', NOWHERE, '--out', out]);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (!stderr.includes('step 1 ') && `${stderr}${text}`.includes('step 1 ')) child.kill('SIGTERM');
    stderr += text;
  });
  // 'close' comes when the service has ended too, because it has the same pipe.
  const [code] = (await once(child, 'close')) as [number];
  assert.equal(code, 130);
  assert.match(stderr, /interrupted\n$/);
  assert.doesNotMatch(stderr, /step 25/);
});

test('a word outside the vocabulary is an error before a service is started', async () => {
  await assert.rejects(generate(['a kat on a blue background']), ({ code, stderr }: Failure) => {
    assert.equal(code, 2);
    assert.match(stderr, /unknown word "kat"/);
    assert.doesNotMatch(stderr, /starting one/);
    return true;
  });
});

test('a step at which the probe cannot score is an error', async () => {
  await assert.rejects(generate([CAPTION, '--step', '7']), ({ code, stderr }: Failure) => {
    assert.equal(code, 2);
    assert.match(stderr, /--step 7: the probe pictogram@1 knows steps 1, 3, 5/);
    return true;
  });
});

test('an unknown probe is an error with its name', async () => {
  await assert.rejects(generate([CAPTION, '--model', 'pictogran']), ({ code, stderr }: Failure) => {
    assert.equal(code, 2);
    assert.match(stderr, /there is no probe pictogran at .*; it serves: pictogram@1/);
    return true;
  });
});

test('--help needs no files', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [GENERATE, '--help'], { cwd: folder });
  assert.match(stdout, /Usage: npm run generate/);
});
