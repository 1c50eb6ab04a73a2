/** Owns how the service is started for the benchmark: as its users start it, on a free port of the loopback address. */
import { fileURLToPath } from 'node:url';

import { type Server, startServer } from './server.js';

const MAIN_MODULE = fileURLToPath(new URL('../../src/main.js', import.meta.url));
export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** @param environment may hold settings of the service; those about address and log are overridden. */
export function startService(environment: NodeJS.ProcessEnv): Promise<Server> {
  return startServer({
    command: process.execPath,
    parameters: [MAIN_MODULE],
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
