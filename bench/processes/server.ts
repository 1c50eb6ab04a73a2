/** Owns a server that is measured: its process, from the start until it has ended. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const LINES_SHOWN = 5;

export interface ServerCommand {
  readonly command: string;
  readonly parameters: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly folder: string;
  /** Called with each line that the server writes; gives its address once it is ready. */
  readonly readyAt: (line: string) => string | undefined;
}

export interface Server {
  readonly url: string;
  readonly pid: number;
  /** Asks it to end and waits until it has. */
  stop(): Promise<void>;
}

/**
 * Starts a server and waits until it is ready.
 * @throws {Error} with what it wrote last, when it does not get there.
 */
export async function startServer(command: ServerCommand): Promise<Server> {
  const child = spawn(command.command, command.parameters, {
    cwd: command.folder,
    env: command.environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exit = new Promise<void>((resolve) => {
    child.once('exit', () => resolve()).once('error', () => resolve());
  });
  // After the last of what it wrote.
  const end = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
  });
  const stop = async (): Promise<void> => {
    const force = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    child.kill('SIGTERM');
    await exit;
    clearTimeout(force);
  };

  const lines: string[] = [];
  const outputs = [child.stdout, child.stderr];
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
  // What it still writes is thrown away as cheaply as can be; a full pipe would stop it.
  for (const output of outputs) output.resume();
  if (url !== undefined) return { url, pid: child.pid ?? NaN, stop };
  await stop();
  throw new Error(`${command.command} ${command.parameters.join(' ')} did not start:\n${lines.join('\n')}`);
}
