/** Servers are started and stopped, and the output of one that does not start is in the error. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { Cleanup } from '../../../bench/command.js';
import { startServer } from '../../../bench/processes/server.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

function command(script: string) {
  return {
    command: process.execPath,
    parameters: ['-e', script],
    environment: {},
    folder: process.cwd(),
    readyAt: (line: string) => /ready at (\S+)/.exec(line)?.[1],
  };
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('a server is ready after its line on either stream, and ended after it is stopped', async () => {
  for (const stream of ['log', 'error']) {
    const script = `console.log('wait'); console.${stream}('ready at http://here'); setInterval(() => {}, 1000);`;
    const server = await startServer(command(script));
    assert.equal(server.url, 'http://here');
    assert.ok(isRunning(server.pid));
    await server.stop();
    assert.ok(!isRunning(server.pid));
  }
});

test('a server may write much output', async () => {
  const script = `console.log('ready at x'); const line = 'y'.repeat(1000);
    for (let count = 0; count < 1000; count += 1) console.log(line);
    process.on('SIGTERM', () => process.exit());`;
  const server = await startServer(command(script));
  await server.stop();
});

test('the error of a server that does not start has its output', async () => {
  const script = `console.error('first reason'); console.error('the port is taken'); process.exit(1);`;
  await assert.rejects(startServer(command(script)), /did not start:\n.*\n?the port is taken/s);
});

test('a missing command is an error at once', async () => {
  await assert.rejects(startServer({ ...command(''), command: '/nowhere/python' }), /did not start/);
});

test('a process that starts after the end is stopped at once', async () => {
  const stopped: string[] = [];
  const stoppable = (name: string) => ({ stop: async () => void stopped.push(name) });
  const cleanup = new Cleanup();
  await cleanup.keep(stoppable('first'));
  await cleanup.keep(Promise.resolve(stoppable('second')));
  await cleanup.stopAll();
  await cleanup.keep(stoppable('late'));
  assert.deepEqual(stopped, ['second', 'first', 'late']);
});

test('the monitor reports the longest time that the event loop of the main thread was held', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(path.join(folder, 'src'));
  const main = path.join(folder, 'src', 'main.js');
  const hold = 'const until = Date.now() + 150; while (Date.now() < until);';
  await writeFile(main, `console.log('ready at x'); setInterval(() => { ${hold} }, 400);`);
  const monitor = new URL('../../../bench/processes/loop-monitor.js', import.meta.url).href;
  const server = await startServer({ ...command(''), parameters: ['--import', monitor, main] });
  t.after(() => server.stop());
  await server.ask('reset');
  await delay(1000);
  const held = Number(await server.ask('read'));
  assert.ok(held >= 145 && held < 1000, `${held} ms`);
});
