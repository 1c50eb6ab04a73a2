/** CPU time and memory of processes, as Linux reports them. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { test } from 'node:test';

import { cpuSeconds, proportionalBytes, residentBytes } from '../../bench/machine.js';

const skip = existsSync('/proc/self/stat') ? false : 'there is no /proc here';

test('CPU time is that of the process and of its children', { skip }, async (t) => {
  // Works for half a second of CPU time in a child of its own, says so, and stays.
  const work = 'while (process.cpuUsage().user < 500_000); console.log("done"); setInterval(() => {}, 1000);';
  const nest = `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(work)}], { stdio: 'inherit' })`;
  const child = spawn(process.execPath, ['-e', nest], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const pid = child.pid ?? assert.fail('it did not start');
  t.after(() => process.kill(-pid, 'SIGKILL'));
  await once(child.stdout, 'data');
  assert.ok(cpuSeconds(pid) >= 0.45, `${cpuSeconds(pid)} s`);
});

test('resident memory is what the process itself reports', { skip }, () => {
  const bytes = residentBytes(process.pid);
  assert.ok(Math.abs(bytes - process.memoryUsage.rss()) < 20_000_000, `${bytes} bytes`);
});

test('the proportional memory is at most the resident one', { skip }, () => {
  const [bytes, resident] = [proportionalBytes(process.pid), residentBytes(process.pid)];
  assert.ok(bytes > resident / 4 && bytes <= resident * 1.1, `${bytes} of ${resident} bytes`);
});

test('of an ended process nothing is known', () => {
  assert.equal(cpuSeconds(2 ** 30), NaN);
  assert.equal(residentBytes(2 ** 30), NaN);
});
