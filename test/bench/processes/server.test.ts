/** Servers are waited for, stopped, and quoted when they do not start. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Cleanup } from '../../../bench/processes/cleanup.js';
import { startServer } from '../../../bench/processes/server.js';

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

test('a server is there when it says so, whichever stream it uses, and gone when it is stopped', async () => {
  for (const stream of ['log', 'error']) {
    const script = `console.log('wait'); console.${stream}('ready at http://here'); setInterval(() => {}, 1000);`;
    const server = await startServer(command(script));
    assert.equal(server.url, 'http://here');
    assert.ok(isRunning(server.pid));
    await server.stop();
    assert.ok(!isRunning(server.pid));
  }
});

test('it may write as much as it likes', async () => {
  const script = `console.log('ready at x'); const line = 'y'.repeat(1000);
    for (let count = 0; count < 1000; count += 1) console.log(line);
    process.on('SIGTERM', () => process.exit());`;
  const server = await startServer(command(script));
  await server.stop();
});

test('one that does not start is quoted', async () => {
  const script = `console.error('first reason'); console.error('the port is taken'); process.exit(1);`;
  await assert.rejects(startServer(command(script)), /did not start:\n.*\n?the port is taken/s);
});

test('a command that does not exist is an error and no wait', async () => {
  await assert.rejects(startServer({ ...command(''), command: '/nowhere/python' }), /did not start/);
});

test('what starts after the end is stopped at once', async () => {
  const stopped: string[] = [];
  const stoppable = (name: string) => ({ stop: async () => void stopped.push(name) });
  const cleanup = new Cleanup();
  await cleanup.keep(stoppable('first'));
  await cleanup.keep(Promise.resolve(stoppable('second')));
  await cleanup.run();
  await cleanup.keep(stoppable('late'));
  assert.deepEqual(stopped, ['second', 'first', 'late']);
});
