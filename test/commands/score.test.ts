/** `diffusion-probe-server score` asks a real service. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';

import { httpServer } from '../support/http-servers.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { runProcess, startProcess } from '../support/process.js';
import { randomSamples, scoreBody } from '../support/samples.js';
import { temporaryFolder } from '../support/temporary-folder.js';

/** The port of the discard protocol, where nothing listens. */
const NOWHERE = 'http://127.0.0.1:9';

/** A file with a request for three samples. */
async function request(t: TestContext): Promise<string> {
  const file = path.join(await temporaryFolder(t), 'request.safetensors');
  const samples = randomSamples(TINY_SIZE, 3, 3).map((sample) => ({ ...sample, timestep: 778.7 }));
  await writeFile(file, scoreBody(samples, { sample_ids: '["a","b","c"]' }));
  return file;
}

async function run(t: TestContext, args: readonly string[], environment: Record<string, string> = {}) {
  const child = runProcess(t, environment, 'score', ...args);
  const [[code], stdout, stderr] = await Promise.all([
    once(child, 'exit') as Promise<[number]>,
    text(child.stdout ?? assert.fail()),
    text(child.stderr ?? assert.fail()),
  ]);
  return { code, stdout, stderr };
}

test('the decisions are a table, or the whole answer as JSON', async (t) => {
  const { origin } = await startProcess(t);
  const file = await request(t);
  const policy = '{"name":"threshold","value":-1000}';
  const { code, stdout, stderr } = await run(t, [file, '--url', origin, '--policy', policy]);
  assert.deepEqual([code, stderr], [0, '']);
  const [head, ...lines] = stdout.split('\n');
  assert.match(head ?? '', /^id +score +threshold +rank +decision +reason$/);
  for (const [index, id] of ['a', 'b', 'c'].entries())
    assert.match(
      lines[index] ?? '',
      new RegExp(`^${id} +-?\\d+\\.\\d{3} +-1000\\.000 +[123] +keep +above_threshold$`),
    );
  assert.match(stdout, /\n3 of 3 kept by tiny@1 on cpu, policy \{"name":"threshold","value":-1000\}\n$/);

  const { stdout: json } = await run(t, [file, '--json', '--url', origin]);
  const answer = JSON.parse(json) as { outcome: string; results: { receipt: string }[] };
  assert.equal(answer.outcome, 'scored');
  assert.ok(answer.results.every(({ receipt }) => receipt.length > 0));
});

test('the API key comes from the environment', async (t) => {
  const file = await request(t);
  const keys = path.join(path.dirname(file), 'keys.json');
  const sha256 = createHash('sha256').update('key').digest('hex');
  await writeFile(keys, JSON.stringify({ keys: [{ id: 'caller', sha256 }] }));
  const { origin } = await startProcess(t, { API_KEYS_FILE: keys });
  const refused = await run(t, [file, '--url', origin]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^http\S+ answered with status 401: An API key is required: .*\n$/);
  const { code } = await run(t, [file, '--url', origin], { DIFFUSION_PROBE_API_KEY: 'key' });
  assert.equal(code, 0);
});

test('a request that the service refuses is one sentence with its reason', async (t) => {
  const { origin } = await startProcess(t);
  const { code, stderr } = await run(t, ['package.json', '--url', origin]);
  assert.equal(code, 1);
  assert.match(stderr, /^http\S+ answered with status 400: .*"tensors".*\n$/);
});

test('what answers may be something else', async (t) => {
  const file = await request(t);
  const page = await httpServer(t, (_request, response) => response.end('<html>'));
  assert.match((await run(t, [file, '--url', page])).stderr, /is no Diffusion Probe\n$/);
  const other = await httpServer(t, (_request, response) => response.writeHead(404).end('<html>'));
  assert.match((await run(t, [file, '--url', other])).stderr, /answered with status 404\n$/);
});

test('without a service or a file it says what to do, with exit code 2', async (t) => {
  const file = await request(t);
  const unanswered = await run(t, [file, '--url', NOWHERE]);
  assert.equal(unanswered.code, 2);
  assert.match(
    unanswered.stderr,
    /^no service answers at http:\/\/127\.0\.0\.1:9: start one with .* --url\n$/,
  );
  const missing = await run(t, ['nothing.safetensors', '--url', NOWHERE]);
  assert.deepEqual([missing.code, missing.stderr], [2, 'there is no file nothing.safetensors\n']);
});

test('a mistake in the options is one sentence with exit code 2, and --help is answered', async (t) => {
  for (const [args, message] of [
    [[], 'expected one file, got 0 arguments'],
    [['a', 'b'], 'expected one file, got 2 arguments'],
    [['a', '--colour'], "Unknown option '--colour'"],
    [['a', '--policy', 'top_k'], '--policy must be JSON, such as {"name": "top_k", "k": 2}'],
  ] as const) {
    const { code, stderr } = await run(t, args);
    assert.equal(code, 2);
    assert.equal(stderr, `${message} (diffusion-probe-server score --help lists the options)\n`);
  }
  const { code, stdout } = await run(t, ['--help']);
  assert.equal(code, 0);
  for (const part of [
    'Usage: diffusion-probe-server score FILE',
    '--policy JSON',
    'default http',
    'Example: ',
  ])
    assert.ok(stdout.includes(part), part);
});
