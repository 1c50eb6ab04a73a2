/** Owns the real program as a process of its own, for tests. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';

import { type ProbeFolderOptions, temporaryModels, writeProbe } from './probe-folder.js';

const MAIN = new URL('../../src/main.js', import.meta.url).pathname;

/** Code and signal of a process that has ended. */
export type ExitStatus = [number | null, NodeJS.Signals | null];

/** The program with these settings on a free port; killed after the test. */
export function runProcess(
  t: TestContext,
  environment: Record<string, string>,
  ...parameters: string[]
): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...parameters], {
    env: { PATH: process.env['PATH'], PORT: '0', DEVICE: 'cpu', WORKERS: '1', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

/** Starts the service on the tiny probe and waits until it listens. */
export async function startProcess(
  t: TestContext,
  environment: Record<string, string> = {},
  options: ProbeFolderOptions = {},
) {
  const models = await temporaryModels(t);
  await writeProbe(models, options);
  const child = runProcess(t, { MODELS_DIR: models, ...environment });
  const lines: Record<string, unknown>[] = [];
  // Unlike 'exit', this waits for the last of what it has written.
  const ended = once(child, 'close') as Promise<ExitStatus>;
  const listening = new Promise<string>((resolve) => {
    createInterface({ input: child.stdout ?? assert.fail() }).on('line', (line) => {
      const entry = JSON.parse(line) as Record<string, unknown>;
      lines.push(entry);
      if (entry['msg'] === 'listening') resolve(String(entry['url']));
    });
  });
  return { child, lines, ended, origin: await listening };
}
