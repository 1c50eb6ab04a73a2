/** Tests the real program as a process: its start, its command line, its signals and its exit codes. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, readFile, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';

import { ProbeClient } from '../clients/typescript/src/node.js';
import { TINY_SIZE, writeProbe } from './support/probe-folder.js';
import { runProcess, startProcess } from './support/process.js';
import { randomSamples, scoreBody, tensorsOf } from './support/samples.js';
import { temporaryFolder } from './support/temporary-folder.js';

/** Sends a request; resolves with its outcome, or undefined when the answer is an error. */
async function score(origin: string, timestep = 778.7): Promise<string | undefined> {
  const headers = { 'content-type': 'application/octet-stream' };
  const samples = randomSamples(TINY_SIZE, 3, 2).map((sample) => ({ ...sample, timestep }));
  const response = await fetch(`${origin}/score`, { method: 'POST', headers, body: scoreBody(samples) });
  return ((await response.json()) as { outcome?: string }).outcome;
}

test('it starts, scores, drains on SIGTERM and exits with code 0', async (t) => {
  const { child, lines, ended, origin } = await startProcess(t, { DRAIN_DELAY_MS: '300' });
  assert.equal(await score(origin), 'scored');
  assert.equal((await fetch(`${origin}/readyz`)).status, 200);
  child.kill('SIGTERM');
  await delay(100);
  assert.equal((await fetch(`${origin}/readyz`)).status, 503);
  assert.equal(await score(origin), 'scored', 'while draining, requests are still answered');
  assert.deepEqual(await ended, [0, null]);
  assert.deepEqual(
    lines.slice(-1).map((line) => line['msg']),
    ['stopped'],
  );
});

test('a second signal ends the drain at once', async (t) => {
  const { child, origin } = await startProcess(t, { DRAIN_DELAY_MS: '60000' });
  assert.equal(await score(origin), 'scored');
  child.kill('SIGINT');
  await delay(50);
  child.kill('SIGINT');
  const started = performance.now();
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  assert.ok(performance.now() - started < 5000);
});

test('it also listens on a Unix domain socket, and removes the socket file', async (t) => {
  const socket = path.join(await temporaryFolder(t), 'probe.sock');
  const { child, origin } = await startProcess(t, { LISTEN: `unix:${socket}` });
  const client = new ProbeClient(`unix:${socket}`);
  t.after(() => client.close());
  const { attention } = tensorsOf(randomSamples(TINY_SIZE, 3, 2));
  assert.equal(
    (await client.score({ attention, timestep: 778.7 }, { deadlineMs: 10_000 })).outcome,
    'scored',
  );
  assert.equal(await score(origin), 'scored');

  const second = runProcess(t, { LISTEN: `unix:${socket}` });
  assert.deepEqual(await once(second, 'exit'), [1, null], 'another process has that path');
  assert.equal(
    (await client.score({ attention, timestep: 778.7 }, { deadlineMs: 10_000 })).outcome,
    'scored',
  );
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  assert.ok(!existsSync(socket));
});

test('a socket that a killed process has left behind is taken over, anything else is not', async (t) => {
  const folder = await temporaryFolder(t);
  const socket = path.join(folder, 'probe.sock');
  const { child } = await startProcess(t, { LISTEN: `unix:${socket}` });
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.ok(existsSync(socket));
  await startProcess(t, { LISTEN: `unix:${socket}` });

  const file = path.join(folder, 'file');
  await writeFile(file, 'precious');
  const refused = runProcess(t, { LISTEN: `unix:${file}` });
  const [[code], shown] = await Promise.all([once(refused, 'exit'), text(refused.stdout ?? assert.fail())]);
  assert.equal(code, 1);
  assert.match(shown, /exists and is not a socket; choose another path with --listen/);
  assert.equal(await readFile(file, 'utf8'), 'precious');

  const missing = runProcess(t, { LISTEN: `unix:${folder}/nowhere/probe.sock` });
  const output = await text(missing.stdout ?? assert.fail());
  assert.match(output, /"reason":"\S+ cannot be created: [^"]*; choose another path with --listen"/);
});

test('the only worker hangs: it is unready, then another serves in its place', async (t) => {
  const { lines, origin } = await startProcess(
    t,
    { WORKERS: '1', INFERENCE_TIMEOUT_MS: '1000' },
    { hang: { above: 779, turns: 2 ** 52 } },
  );
  const hanging = score(origin, 779.5);
  while ((await fetch(`${origin}/readyz`)).status === 200) await delay(2);
  assert.equal(await score(origin), undefined);
  assert.equal(await hanging, undefined);
  while ((await fetch(`${origin}/readyz`)).status !== 200) await delay(10);
  assert.equal(await score(origin), 'scored');
  assert.ok(!lines.some((line) => line['level'] === 'fatal'));
});

test('a second hung run makes it unready and ends it, not with code 0, once the other requests are answered', async (t) => {
  const { child, lines, ended, origin } = await startProcess(
    t,
    { WORKERS: '2', INFERENCE_TIMEOUT_MS: '2000', DRAIN_DELAY_MS: '60000' },
    { hang: { above: 779, turns: 2 ** 52 } },
  );
  const [, hanging] = [await score(origin, 779.5), score(origin, 779.5)];
  while (!lines.some((line) => line['level'] === 'fatal')) await delay(10);
  assert.equal((await fetch(`${origin}/readyz`)).status, 503);
  const others = await Promise.all(Array.from({ length: 10 }, () => score(origin)));
  assert.deepEqual(new Set(others), new Set(['scored']));
  assert.equal(await hanging, undefined);
  // All other requests are answered, so the test does not wait for the whole delay.
  child.kill('SIGTERM');
  assert.deepEqual(await ended, [null, 'SIGKILL']);
  assert.equal(lines.at(-1)?.['reason'], 'a run still hangs');
});

test('clients that send nothing or half of a request do not prevent the exit', async (t) => {
  const { child, origin } = await startProcess(t, { SHUTDOWN_TIMEOUT_MS: '10500' });
  const { port, hostname } = new URL(origin);
  const sockets = ['', 'POST /score HTTP/1.1\r\nhost: a\r\n'].map((bytes) => {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {}).write(bytes);
    return socket;
  });
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  assert.equal(await score(origin), 'scored');
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});

test('a device that is set explicitly and not available fails the start', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const child = runProcess(t, { MODELS_DIR: models, DEVICE: 'cuda' });
  const [[code], shown] = await Promise.all([once(child, 'exit'), text(child.stdout ?? assert.fail())]);
  if (/"msg":"listening"/.test(shown)) return t.skip('CUDA works here');
  assert.equal(code, 1);
  assert.match(shown, /device cuda cannot be used: /);
});

test('all mistakes in the settings are reported at once, with exit code 2', async (t) => {
  const child = runProcess(t, { PORT: 'x', WORKERS: 'y' });
  const [[code], errors] = await Promise.all([once(child, 'exit'), text(child.stderr ?? assert.fail())]);
  assert.equal(code, 2);
  assert.match(errors, /PORT: got "x".*\n.*WORKERS: got "y"/);
});

test('a policies file that cannot be used fails the start', async (t) => {
  const child = runProcess(t, { POLICIES_FILE: 'nowhere.json' });
  const [[code], shown] = await Promise.all([once(child, 'exit'), text(child.stdout ?? assert.fail())]);
  assert.equal(code, 1);
  assert.match(shown, /nowhere\.json cannot be used/);
});

test('a flag wins over its environment variable', async (t) => {
  const child = runProcess(t, { POLICIES_FILE: 'a.json' }, '--policies-file', 'b.json', '--workers=1');
  const [[code], shown] = await Promise.all([once(child, 'exit'), text(child.stdout ?? assert.fail())]);
  assert.equal(code, 1);
  assert.match(shown, /b\.json cannot be used/);
});

test('unknown flags and bad values of flags are reported with exit code 2', async (t) => {
  const child = runProcess(t, {}, '--prot=80', '--port', 'x');
  const [[code], errors] = await Promise.all([once(child, 'exit'), text(child.stderr ?? assert.fail())]);
  assert.equal(code, 2);
  assert.match(errors, /--help.*\n +--prot: this flag is unknown\n +--port: got "x"/);
});

test('the bin of the package is executable through a symbolic link, as npm installs it', async (t) => {
  const { bin } = JSON.parse(await readFile('package.json', 'utf8')) as { bin: Record<string, string> };
  const program = path.resolve(bin['diffusion-probe-server'] ?? assert.fail());
  await chmod(program, 0o755);
  const link = path.join(await temporaryFolder(t), 'diffusion-probe-server');
  await symlink(program, link);
  const child = spawn(link, ['--help'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [[code], shown] = await Promise.all([once(child, 'exit'), text(child.stdout)]);
  assert.equal(code, 0);
  assert.match(shown, /^Usage: diffusion-probe-server /m);
});

test('an unknown argument is refused in one sentence, and --help is answered', async (t) => {
  const child = runProcess(t, {}, 'serve');
  const [[code], errors] = await Promise.all([once(child, 'exit'), text(child.stderr ?? assert.fail())]);
  assert.equal(code, 2);
  assert.equal(errors, 'Cannot start: serve: this argument is unknown (--help lists all settings)\n');
  const help = runProcess(t, { PORT: 'x' }, '--help');
  const [[helpCode], shown] = await Promise.all([once(help, 'exit'), text(help.stdout ?? assert.fail())]);
  assert.equal(helpCode, 0);
  assert.match(shown, /^ {2}--max-body-bytes /m);
});

test('a port in use ends the process and its threads with code 1', async (t) => {
  const { origin } = await startProcess(t);
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const second = runProcess(t, { MODELS_DIR: models, PORT: new URL(origin).port });
  const [[code], shown] = await Promise.all([once(second, 'exit'), text(second.stdout ?? assert.fail())]);
  assert.equal(code, 1);
  const { level, reason, err } = JSON.parse(shown.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
  assert.equal(level, 'fatal');
  assert.match(String(reason), /^port \d+ of 127\.0\.0\.1 is taken: .* choose another with --port/);
  assert.equal(err, undefined, 'a stack trace would say nothing to the user');
});

test('a host that is not of this machine is named', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  // An address for documentation, which no machine has.
  const child = runProcess(t, { MODELS_DIR: models, HOST: '192.0.2.1' });
  const [[code], shown] = await Promise.all([once(child, 'exit'), text(child.stdout ?? assert.fail())]);
  assert.equal(code, 1);
  assert.match(shown, /192\.0\.2\.1 is no address of this machine: choose another with --host/);
});

test('the service ends when the process that has started it does, however that ends', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const main = new URL('../src/main.js', import.meta.url).pathname;
  const script = `
    import { spawn } from 'node:child_process';
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'];
    spawn(process.execPath, [${JSON.stringify(main)}], { stdio });
    setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    env: { PATH: process.env['PATH'], PORT: '0', DEVICE: 'cpu', WORKERS: '1', MODELS_DIR: models },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => parent.kill('SIGKILL'));
  let shown = '';
  parent.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    shown += chunk;
    if (shown.includes('"listening"')) parent.kill('SIGKILL');
  });
  // After the last output of the service, which has the same pipe.
  await once(parent, 'close');
  assert.match(shown, /the process that started it has ended.*"draining".*\n.*"stopped"/s);
});

test('metrics have a separate port when one is set, until the engine has ended', async (t) => {
  const { child, lines, ended, origin } = await startProcess(t, {
    METRICS_PORT: '0',
    DRAIN_DELAY_MS: '200',
  });
  const line = lines.find((entry) => entry['msg'] === 'listening for metrics');
  const metrics = String(line?.['metrics']);
  assert.match(await (await fetch(metrics)).text(), /^diffusion_probe_ready 1$/m);
  assert.equal((await fetch(`${origin}/metrics`)).status, 404);
  child.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null]);
});
