/** Starts programs that these tests need beside the service, such as Prometheus and nginx. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 100;
const TIMEOUT_MS = 60_000;

/**
 * Starts a program and resolves when a request to `url` succeeds. The program is stopped after the test.
 * @param debianPackage named in the error when the program is missing.
 */
export async function startProgram(
  t: TestContext,
  [command, ...parameters]: readonly [string, ...string[]],
  url: string,
  debianPackage: string,
): Promise<void> {
  const child = spawn(command, parameters, { stdio: ['ignore', 'inherit', 'inherit'] });
  const failed = new Promise<never>((_resolve, reject) => {
    child.once('error', (cause) =>
      reject(new Error(`${command} is missing: install the Debian package ${debianPackage}`, { cause })),
    );
    child.once('exit', (code) => reject(new Error(`${command} ended with ${code}`)));
  });
  failed.catch(() => {});
  t.after(async () => {
    const ended = once(child, 'exit');
    if (child.kill('SIGTERM')) await ended;
  });
  const answers = (): Promise<boolean> =>
    fetch(url).then(
      ({ ok }) => ok,
      () => false,
    );
  await Promise.race([failed, until(`${command} answers`, answers)]);
}

/** Polls until a condition holds. The time limit is long, so that only a real fault exceeds it. */
export async function until(condition: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const end = performance.now() + TIMEOUT_MS;
  while (!(await holds())) {
    assert.ok(performance.now() < end, `not within ${TIMEOUT_MS} ms: ${condition}`);
    await delay(POLL_MS);
  }
}

/** Returns a port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}
