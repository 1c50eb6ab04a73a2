/** Owns which service the demo talks to: the one that is running already, or one started for the occasion. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import { request } from 'undici';

const ANSWER_TIMEOUT_MS = 2000;
const START_TIMEOUT_MS = 60_000;
const HTTP_OK = 200;
const MAIN_MODULE = fileURLToPath(new URL('../src/main.js', import.meta.url));

type ServiceProcess = ChildProcessByStdio<null, Readable, null>;

export interface Service {
  readonly url: string;
  /** Ends the service if it was started here. */
  stop(): Promise<void>;
}

/**
 * The service at `url` if one answers there, else a new one on a free port, with the settings in `environment`.
 * @throws {Error} when it does not start.
 */
export async function findOrStartService(
  url: string,
  environment: NodeJS.ProcessEnv,
  tell: (line: string) => void,
): Promise<Service> {
  if (await answers(url)) return { url, stop: async () => {} };
  tell(`no service answers at ${url}: starting one`);
  return startService(environment);
}

async function answers(url: string): Promise<boolean> {
  try {
    const timeouts = { headersTimeout: ANSWER_TIMEOUT_MS, bodyTimeout: ANSWER_TIMEOUT_MS };
    const { statusCode, body } = await request(new URL('/livez', url), timeouts);
    await body.dump();
    return statusCode === HTTP_OK;
  } catch {
    return false;
  }
}

async function startService(environment: NodeJS.ProcessEnv): Promise<Service> {
  const child = spawn(process.execPath, ['--enable-source-maps', MAIN_MODULE], {
    // The log's level is fixed because its line "listening" is read below.
    env: { ...environment, PORT: '0', HOST: '127.0.0.1', LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = (): Promise<void> => ended(child);
  try {
    return { url: await listeningUrl(child), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Lets the service drain and waits for its end, if it has not come already. */
async function ended(child: ServiceProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
}

/** Waits for the log line that says where the service listens. */
async function listeningUrl(child: ServiceProcess): Promise<string> {
  const timer = setTimeout(() => child.kill('SIGTERM'), START_TIMEOUT_MS);
  let trouble = '';
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const { url, error } = readLogLine(line);
      if (error !== undefined) trouble = `: ${error}`;
      if (url === undefined) continue;
      // Nobody reads on, and a full pipe would stop the service.
      child.stdout.resume();
      return url;
    }
  } finally {
    clearTimeout(timer);
  }
  throw new Error(`the service did not start${trouble}`);
}

function readLogLine(line: string): { url?: string | undefined; error?: string | undefined } {
  try {
    const entry = JSON.parse(line) as { msg?: string; url?: string; err?: { message?: string } };
    return { url: entry.msg === 'listening' ? entry.url : undefined, error: entry.err?.message };
  } catch {
    return {};
  }
}
