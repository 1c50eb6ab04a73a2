/** Tests that the reader of standard output can neither block the service nor outlive it unnoticed. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { writeProbe } from '../support/probe-folder.js';
import { runProcess } from '../support/process.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const SHUTDOWN_TIMEOUT_MS = 5000;
const LONG_PATH = `/${'x'.repeat(2000)}`;

test('a service whose output is not read answers, and ends in time', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const child = runProcess(t, {
    MODELS_DIR: models,
    SHUTDOWN_TIMEOUT_MS: String(SHUTDOWN_TIMEOUT_MS),
    INFERENCE_TIMEOUT_MS: '2000',
  });
  const output = child.stdout ?? assert.fail();
  let text = '';
  while (!/"url":"([^"]+)"/.test(text)) {
    const chunk = output.read() as Buffer | null;
    if (chunk === null) await once(output, 'readable');
    else text += chunk.toString();
  }
  const url = /"url":"([^"]+)"/.exec(text)?.[1] ?? assert.fail();
  // Each refused request logs a line; together they are more than a pipe holds.
  for (let round = 0; round < 40; round += 1) {
    const answers = await Promise.all(Array.from({ length: 10 }, () => fetch(`${url}${LONG_PATH}`)));
    for (const answer of answers) assert.equal(answer.status, 404);
  }
  const start = performance.now();
  child.kill('SIGTERM');
  await once(child, 'exit');
  assert.ok(performance.now() - start < SHUTDOWN_TIMEOUT_MS);
});

test('a service whose output is closed ends by itself', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const child = runProcess(t, { MODELS_DIR: models });
  const [first] = (await once(child.stdout ?? assert.fail(), 'data')) as [Buffer];
  assert.ok(first.length > 0);
  child.stdout?.destroy();
  const ended = await Promise.race([once(child, 'exit'), pause(20_000, undefined, { ref: false })]);
  assert.ok(ended, 'the service goes on without a reader');
});

test('lines are written in order, and what does not fit is counted', async (t) => {
  const script = `
    import { LogOutput } from '${new URL('../../src/telemetry/log-output.js', import.meta.url).href}';
    const output = new LogOutput(1, () => {});
    for (let line = 0; line < 3; line += 1) output.write(line + '\\n');
    output.write('x'.repeat(2_000_000));
    await output.flushed(1000);
    output.write('last\\n');
    await output.flushed(1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(child, 'close');
  assert.deepEqual(
    text.split('\n').filter((line) => !line.includes('dropped')),
    ['0', '1', '2', 'last', ''],
  );
  assert.match(text, /"dropped":1/);
});
