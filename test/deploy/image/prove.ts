/** Owns what the finished image must do: run as its user on a file system that nobody can write, answer, and drain. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { freePort } from '../../operate/prometheus.js';
import { enter, type Image, must } from './build.js';

const EXAMPLE = 'examples/group.safetensors';

/** @throws {AssertionError} for the first thing that is not as it should be. */
export async function proveImage(image: Image, tell: (line: string) => void): Promise<void> {
  assert.match(image.user, /^[1-9]\d*:[1-9]\d*$/, 'it does not run as root');
  assert.ok(image.labels['org.opencontainers.image.title']);
  must('mount', ['-o', 'remount,ro', image.root]);
  const port = await freePort();
  const environment = { ...image.environment, PORT: String(port) };
  const run = (command: readonly string[]) =>
    spawnSync('chroot', enter(image, command), { encoding: 'utf8', env: environment });

  const attempt = run(['node', '-e', "require('fs').writeFileSync('/app/written', '')"]);
  assert.match(attempt.stderr, /EROFS/, 'the file system is read-only');
  assert.notEqual(run(image.healthcheck).status, 0, 'what does not run is not healthy');

  const child = spawn('chroot', enter(image, image.entrypoint), {
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const ended = once(child, 'close');
    const lines = createInterface({ input: child.stdout });
    await Promise.race([
      new Promise<void>((resolve) => lines.on('line', (line) => line.includes('"listening"') && resolve())),
      ended.then(([code]) => assert.fail(`the service ended with ${code}`)),
    ]);
    tell(`it listens, as ${uidOf(child.pid)}`);
    assert.equal(uidOf(child.pid), image.user.split(':')[0]);
    assert.equal(run(image.healthcheck).status, 0, 'it is healthy');

    const response = await fetch(`http://127.0.0.1:${port}/score`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: readFileSync(EXAMPLE),
    });
    const answer = (await response.json()) as { outcome: string; results: { score: number }[] };
    assert.equal(answer.outcome, 'scored');
    tell(`it scores: ${answer.results.map(({ score }) => score.toFixed(3)).join(', ')}`);

    child.kill('SIGTERM');
    assert.deepEqual(await ended, [0, null], 'it drains and ends by itself');
    tell('it drained on SIGTERM and ended with 0');
  } finally {
    child.kill('SIGKILL');
  }
}

function uidOf(pid: number | undefined): string | undefined {
  return /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
}
