/** Owns the real service as a process for tests: on a free port, one worker on the CPU, ended after the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';

const MAIN = new URL('../../src/main.js', import.meta.url).pathname;

export interface ServiceProcess {
  readonly origin: string;
  readonly child: ChildProcess;
  /** Drains it and waits for its end. */
  readonly stop: () => Promise<void>;
}

/** Starts it and waits until it listens. */
export async function startProcess(
  t: TestContext,
  environment: Record<string, string>,
): Promise<ServiceProcess> {
  const child = spawn(process.execPath, ['--enable-source-maps', MAIN], {
    env: { PATH: process.env['PATH'], PORT: '0', DEVICE: 'cpu', WORKERS: '1', ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  };
  t.after(stop);
  const origin = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the service ended with ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { msg, url } = JSON.parse(line) as { msg?: string; url?: string };
      if (msg === 'listening' && url !== undefined) resolve(url);
    });
  });
  return { origin, child, stop };
}
