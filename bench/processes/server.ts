/** Starts and stops the processes of measured servers. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

const MAIN_MODULE = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const LINES_SHOWN = 5;

export interface ServerCommand {
  readonly command: string;
  readonly parameters: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly folder: string;
  /** Called with each line that the server writes; returns its address once it is ready. */
  readonly readyAt: (line: string) => string | undefined;
}

export interface Server {
  readonly url: string;
  readonly pid: number;
  /** Sends a message to a module in the process that listens for it, and returns the answer. */
  ask(message: string): Promise<unknown>;
  /** Sends SIGTERM and waits for the end. */
  stop(): Promise<void>;
}

/**
 * Starts a server and waits until it is ready.
 * @throws {Error} with its last lines, when it does not become ready.
 */
export async function startServer(command: ServerCommand): Promise<Server> {
  const child = spawn(command.command, command.parameters, {
    cwd: command.folder,
    env: command.environment,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const exit = new Promise<void>((resolve) => {
    child.once('exit', () => resolve()).once('error', () => resolve());
  });
  // Unlike "exit", this comes after the last output.
  const end = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
  });
  const stop = async (): Promise<void> => {
    const force = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    child.kill('SIGTERM');
    await exit;
    clearTimeout(force);
  };

  const ask = async (message: string): Promise<unknown> => {
    const answer = once(child, 'message');
    child.send(message);
    return (await answer)[0];
  };

  const lines: string[] = [];
  const outputs = [child.stdout, child.stderr].filter((output) => output !== null);
  const readers = outputs.map((input) => createInterface({ input }));
  const ready = new Promise<string>((resolve) => {
    for (const reader of readers) {
      reader.on('line', (line) => {
        if (lines.push(line) > LINES_SHOWN) lines.shift();
        const url = command.readyAt(line);
        if (url !== undefined) resolve(url);
      });
    }
  });
  const url = await Promise.race([ready, end, delay(START_TIMEOUT_MS, undefined, { ref: false })]);
  for (const reader of readers) reader.close();
  // Further output is discarded, because a full pipe would block the server.
  for (const output of outputs) output.resume();
  if (url !== undefined) return { url, pid: child.pid ?? NaN, ask, stop };
  await stop();
  throw new Error(`${command.command} ${command.parameters.join(' ')} did not start:\n${lines.join('\n')}`);
}

/**
 * Starts the service as its users do, on a free port of the loopback address.
 * @param environment settings of the service, except for its address and its log.
 * @param nodeOptions options of Node's command line.
 */
export function startService(
  environment: NodeJS.ProcessEnv,
  nodeOptions: readonly string[] = [],
): Promise<Server> {
  return startServer({
    command: process.execPath,
    parameters: [...nodeOptions, MAIN_MODULE],
    folder: ROOT,
    environment: { DEVICE: 'cpu', ...environment, HOST: '127.0.0.1', PORT: '0', LOG_LEVEL: 'info' },
    readyAt: urlInLog,
  });
}

function urlInLog(line: string): string | undefined {
  if (!line.includes('"listening"')) return undefined;
  const { msg, url } = JSON.parse(line) as { msg?: string; url?: string };
  return msg === 'listening' ? url : undefined;
}
