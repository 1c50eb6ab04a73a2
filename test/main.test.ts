/** Owns the proof that the process starts, tells its mistakes, and stops by itself: the real program, real signals. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';

import { temporaryModels, TINY_SIZE, writeProbe } from './support/probe-folder.js';
import { randomSamples, scoreBody } from './support/samples.js';

const MAIN = new URL('../src/main.js', import.meta.url).pathname;

function run(t: TestContext, environment: Record<string, string>, ...parameters: string[]): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...parameters], {
    env: { PATH: process.env['PATH'], PORT: '0', DEVICE: 'cpu', WORKERS: '1', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

/** Starts the service on the tiny probe and waits until it listens. */
async function start(t: TestContext, environment: Record<string, string> = {}) {
  const models = await temporaryModels(t);
  await writeProbe(models);
  const child = run(t, { MODELS_DIR: models, ...environment });
  const lines: Record<string, unknown>[] = [];
  const listening = new Promise<string>((resolve) => {
    createInterface({ input: child.stdout ?? assert.fail() }).on('line', (line) => {
      const entry = JSON.parse(line) as Record<string, unknown>;
      lines.push(entry);
      if (entry['msg'] === 'listening') resolve(String(entry['url']));
    });
  });
  return { child, lines, origin: await listening };
}

async function score(origin: string): Promise<string> {
  const headers = { 'content-type': 'application/octet-stream' };
  const response = await fetch(`${origin}/score`, {
    method: 'POST',
    headers,
    body: scoreBody(randomSamples(TINY_SIZE, 3, 2)),
  });
  return ((await response.json()) as { outcome: string }).outcome;
}

test('it starts, scores, drains on SIGTERM and ends by itself with code 0', async (t) => {
  const { child, lines, origin } = await start(t, { DRAIN_DELAY_MS: '300' });
  assert.equal(await score(origin), 'scored');
  assert.equal((await fetch(`${origin}/readyz`)).status, 200);
  child.kill('SIGTERM');
  await delay(100);
  assert.equal((await fetch(`${origin}/readyz`)).status, 503);
  assert.equal(await score(origin), 'scored', 'while draining, requests are still answered');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  assert.deepEqual(
    lines.slice(-1).map((line) => line['msg']),
    ['stopped'],
  );
});

test('a second signal cuts the drain short', async (t) => {
  const { child, origin } = await start(t, { DRAIN_DELAY_MS: '60000' });
  assert.equal(await score(origin), 'scored');
  child.kill('SIGINT');
  await delay(50);
  child.kill('SIGINT');
  const started = performance.now();
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  assert.ok(performance.now() - started < 5000);
});

test('mistakes in the settings are told all at once, with exit code 2', async (t) => {
  const child = run(t, { PORT: 'x', WORKERS: 'y' });
  const [[code], errors] = await Promise.all([once(child, 'exit'), text(child.stderr ?? assert.fail())]);
  assert.equal(code, 2);
  assert.match(errors, /PORT: got "x".*\n.*WORKERS: got "y"/);
});

test('a policies file that cannot be used ends the start: other policies would be no better', async (t) => {
  const child = run(t, { POLICIES_FILE: 'nowhere.json' });
  const [[code], shown] = await Promise.all([once(child, 'exit'), text(child.stdout ?? assert.fail())]);
  assert.equal(code, 1);
  assert.match(shown, /nowhere\.json cannot be used/);
});

test('an argument that does not exist is refused, --help is answered', async (t) => {
  const [code] = (await once(run(t, {}, 'serve'), 'exit')) as [number];
  assert.equal(code, 2);
  const help = run(t, { PORT: 'x' }, '--help');
  const [[helpCode], shown] = await Promise.all([once(help, 'exit'), text(help.stdout ?? assert.fail())]);
  assert.equal(helpCode, 0);
  assert.match(shown, /MAX_BODY_BYTES/);
});

test('a port that is taken ends the process with code 1, its threads included', async (t) => {
  const { origin } = await start(t);
  const models = await temporaryModels(t);
  await writeProbe(models);
  const second = run(t, { MODELS_DIR: models, PORT: new URL(origin).port });
  const [[code], shown] = await Promise.all([once(second, 'exit'), text(second.stdout ?? assert.fail())]);
  assert.equal(code, 1);
  assert.match(shown, /EADDRINUSE/);
});

test('the metrics have a port of their own where one is set, until the engine has ended', async (t) => {
  const { child, lines, origin } = await start(t, { METRICS_PORT: '0', DRAIN_DELAY_MS: '200' });
  const line = lines.find((entry) => entry['msg'] === 'listening for metrics');
  const metrics = String(line?.['metrics']);
  assert.match(await (await fetch(metrics)).text(), /^diffusion_probe_ready 1$/m);
  assert.equal((await fetch(`${origin}/metrics`)).status, 404);
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});
