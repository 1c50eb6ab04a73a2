/** Finds the service at an address, or starts one for the duration of a command. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const ANSWER_TIMEOUT_MS = 2000;
const START_TIMEOUT_MS = 60_000;
const MAIN_MODULE = fileURLToPath(new URL('../src/main.js', import.meta.url));

type ServiceProcess = ChildProcess & { readonly stdout: Readable };

export interface Service {
  readonly url: string;
  /** Ends the service if it was started here. */
  stop(): Promise<void>;
}

/**
 * @param environment the settings of a service that is started, which listens on a free port.
 * @throws {Error} when it does not start.
 */
export async function findOrStartService(
  url: string,
  environment: NodeJS.ProcessEnv,
  onProgress: (line: string) => void,
): Promise<Service> {
  if (await isAlive(url)) return { url, stop: async () => {} };
  onProgress(`no service answers at ${url}: starting one`);
  const child = spawn(process.execPath, ['--enable-source-maps', MAIN_MODULE], {
    // LOG_LEVEL is fixed because readUrl() needs the log line "listening".
    env: { ...environment, PORT: '0', HOST: '127.0.0.1', LOG_LEVEL: 'info' },
    // By the fourth, the service notices the end of this process, however that comes, and ends too.
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  }) as ServiceProcess;
  const stop = (): Promise<void> => endProcess(child);
  try {
    return { url: await readUrl(child), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function isAlive(url: string): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const response = await fetch(new URL('/livez', url), { signal });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

/** Lets the service drain, and waits for its end. */
async function endProcess(child: ServiceProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
}

/** Waits for the log line with the service's address. */
async function readUrl(child: ServiceProcess): Promise<string> {
  const timer = setTimeout(() => child.kill('SIGTERM'), START_TIMEOUT_MS);
  let reason = '';
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const { msg, url, reason: failure } = readLogLine(line);
      if (failure !== undefined) reason = `: ${failure}`;
      if (msg !== 'listening' || url === undefined) continue;
      // The rest of the log is discarded: a full pipe would block the service.
      child.stdout.resume();
      return url;
    }
  } finally {
    clearTimeout(timer);
  }
  throw new Error(`the service did not start${reason}`);
}

function readLogLine(line: string): { msg?: string; url?: string; reason?: string } {
  try {
    return JSON.parse(line) as object;
  } catch {
    return {};
  }
}
