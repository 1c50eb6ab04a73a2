/** Starts the real program as a separate process for tests. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';

import { watchLog } from './private-text.js';
import { type ProbeFolderOptions, writeProbe } from './probe-folder.js';
import { temporaryFolder } from './temporary-folder.js';

const MAIN = new URL('../../src/main.js', import.meta.url).pathname;

/** Code and signal of a process that has ended. */
export type ExitStatus = [number | null, NodeJS.Signals | null];

/** The environment of a service with these settings on a free port. */
function environmentOf(settings: Record<string, string>): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], PORT: '0', DEVICE: 'cpu', WORKERS: '1', ...settings };
}

/** Starts the program with these settings on a free port; it is killed after the test. */
export function runProcess(
  t: TestContext,
  environment: Record<string, string>,
  ...parameters: string[]
): ChildProcess {
  const child = spawn(process.execPath, ['--enable-source-maps', MAIN, ...parameters], {
    env: environmentOf(environment),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

/** Starts the program as runProcess() does, on a terminal: what it shows is the output of the process, its input are keys. */
export function runOnTerminal(t: TestContext, environment: Record<string, string>): ChildProcess {
  const program = `exec ${process.execPath} --enable-source-maps ${MAIN}`;
  // script(1) of util-linux, -e for the exit code of the program, -f to show everything at once.
  const child = spawn('script', ['-qefc', program, '/dev/null'], { env: environmentOf(environment) });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

export interface ServiceProcess {
  readonly child: ChildProcess;
  /** The lines of its log so far. */
  readonly lines: readonly Record<string, unknown>[];
  readonly ended: Promise<ExitStatus>;
  readonly origin: string;
  /** Sends SIGTERM and waits for the end. */
  readonly stop: () => Promise<void>;
}

/** Starts the service and waits until it listens. */
export async function startService(
  t: TestContext,
  environment: Record<string, string>,
): Promise<ServiceProcess> {
  const child = runProcess(t, environment);
  const check = watchLog(t);
  child.stderr?.on('data', (chunk: Buffer) => check(String(chunk))).pipe(process.stderr);
  const lines: Record<string, unknown>[] = [];
  // Unlike 'exit', this event comes after all output.
  const ended = once(child, 'close') as Promise<ExitStatus>;
  const origin = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the service ended with ${code}`)));
    createInterface({ input: child.stdout ?? assert.fail() }).on('line', (line) => {
      check(line);
      const entry = JSON.parse(line) as Record<string, unknown>;
      lines.push(entry);
      if (entry['msg'] === 'listening') resolve(String(entry['url']));
    });
  });
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
  };
  return { child, lines, ended, origin, stop };
}

/** Starts the service on the tiny probe and waits until it listens. */
export async function startProcess(
  t: TestContext,
  environment: Record<string, string> = {},
  options: ProbeFolderOptions = {},
): Promise<ServiceProcess> {
  const models = await temporaryFolder(t);
  await writeProbe(models, options);
  return startService(t, { MODELS_DIR: models, ...environment });
}
