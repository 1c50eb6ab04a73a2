/** Owns the peer: its packages in a virtual environment of their own, made on demand, and its process. */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { type Server, startServer } from './server.js';
import { ROOT } from './service.js';

const FOLDER = path.join(ROOT, 'bench', 'peers');
const REQUIREMENTS = path.join(FOLDER, 'requirements.txt');
const VENV = path.join(FOLDER, '.venv');
const PYTHON = path.join(VENV, 'bin', 'python');
/** A copy of the requirements that the environment was made for. */
const INSTALLED = path.join(VENV, 'requirements.txt');
/** With the fastest event loop and HTTP parser that it has. */
const UVICORN =
  '-m uvicorn app:app --host 127.0.0.1 --port 0 --no-access-log --loop uvloop --http httptools'.split(' ');
const INSTALL_TIMEOUT_MS = 600_000;

const run = promisify(execFile);

/**
 * Makes the virtual environment unless it is there and up to date.
 * @returns why it cannot be had, in one line; undefined when all is well.
 */
export async function installPeer(tell: (line: string) => void): Promise<string | undefined> {
  if (existsSync(INSTALLED) && readFileSync(INSTALLED).equals(readFileSync(REQUIREMENTS))) return undefined;
  tell('installing the peer’s Python packages, once');
  try {
    await run('python3', ['-m', 'venv', '--clear', VENV], { timeout: INSTALL_TIMEOUT_MS });
    const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', REQUIREMENTS];
    await run(PYTHON, install, { timeout: INSTALL_TIMEOUT_MS });
    cpSync(REQUIREMENTS, INSTALLED);
    return undefined;
  } catch (error) {
    return lastLine(error);
  }
}

/** @param model the ONNX file. */
export async function startPeer(
  model: string,
  workers: number,
  environment: NodeJS.ProcessEnv,
): Promise<Server> {
  let url: string | undefined;
  let workersReady = 0;
  return startServer({
    command: PYTHON,
    parameters: [...UVICORN, '--workers', String(workers)],
    folder: FOLDER,
    environment: {
      ...environment,
      PEER_MODEL: model,
      PEER_THREADS: String(Math.max(1, Math.floor(availableParallelism() / workers))),
    },
    readyAt: (line) => {
      url ??= /running on (http:\/\/\S+)/.exec(line)?.[1];
      if (line.includes('Application startup complete')) workersReady += 1;
      return workersReady === workers ? url : undefined;
    },
  });
}

function lastLine(error: unknown): string {
  const { stderr = '', message = String(error) } = error as { stderr?: string; message?: string };
  return (stderr.trim() || message.trim()).split('\n').at(-1) ?? 'unknown reason';
}
