/** The process is stopped and continued, as by a debugger, a suspended machine or a live migration: nothing has hung. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { ask } from '../support/load.js';
import { startProcess } from '../support/process.js';

test('a run during which the process was stopped is no hung run', async (t) => {
  const settings = { INFERENCE_TIMEOUT_MS: '1500', SHUTDOWN_TIMEOUT_MS: '1500' };
  const { child, origin, lines, ended } = await startProcess(t, settings, { work: 400 });
  await ask(origin);
  for (let round = 0; round < 2; round += 1) {
    const answers = Array.from({ length: 6 }, () => ask(origin));
    await pause(60);
    child.kill('SIGSTOP');
    await pause(2500);
    child.kill('SIGCONT');
    for (const { body } of await Promise.all(answers)) assert.equal(body.outcome, 'scored');
  }
  assert.equal((await fetch(`${origin}/readyz`)).status, 200);

  // The limit of the drain does not count a pause either.
  const last = ask(origin);
  await pause(30);
  child.kill('SIGTERM');
  await pause(20);
  child.kill('SIGSTOP');
  await pause(2500);
  child.kill('SIGCONT');
  assert.equal((await last).body.outcome, 'scored');
  assert.deepEqual(await ended, [0, null]);
  assert.deepEqual(
    lines.filter(({ level }) => level === 'fatal'),
    [],
  );
});
