/** The peers: installs the packages of the FastAPI server into a virtual environment on demand, and starts the servers. */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { ROOT, type Server, startServer } from './server.js';

const NODE_PEER = fileURLToPath(new URL('../peers/node-http.js', import.meta.url));
const RUNNING = /running on (http:\/\/\S+)/;
const FOLDER = path.join(ROOT, 'bench', 'peers');
const REQUIREMENTS = path.join(FOLDER, 'requirements.txt');
const VENV = path.join(FOLDER, '.venv');
const PYTHON = path.join(VENV, 'bin', 'python');
/** A copy of the requirements that are installed. */
const INSTALLED = path.join(VENV, 'requirements.txt');
/** With uvicorn's fastest event loop and HTTP parser. */
const UVICORN =
  '-m uvicorn app:app --host 127.0.0.1 --port 0 --no-access-log --loop uvloop --http httptools'.split(' ');
const INSTALL_TIMEOUT_MS = 600_000;

const execute = promisify(execFile);

/**
 * Makes the virtual environment unless it is up to date.
 * @returns why that failed, in one line; undefined when it did not.
 */
export async function installPeer(onProgress: (line: string) => void): Promise<string | undefined> {
  if (existsSync(INSTALLED) && readFileSync(INSTALLED).equals(readFileSync(REQUIREMENTS))) return undefined;
  onProgress('installing the peer’s Python packages, once');
  try {
    await execute('python3', ['-m', 'venv', '--clear', VENV], { timeout: INSTALL_TIMEOUT_MS });
    const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', REQUIREMENTS];
    await execute(PYTHON, install, { timeout: INSTALL_TIMEOUT_MS });
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
      url ??= RUNNING.exec(line)?.[1];
      if (line.includes('Application startup complete')) workersReady += 1;
      return workersReady === workers ? url : undefined;
    },
  });
}

/** @param model the ONNX file. */
export function startNodePeer(model: string, environment: NodeJS.ProcessEnv): Promise<Server> {
  return startServer({
    command: process.execPath,
    parameters: [NODE_PEER],
    folder: ROOT,
    environment: { ...environment, PEER_MODEL: model },
    readyAt: (line) => RUNNING.exec(line)?.[1],
  });
}

function lastLine(error: unknown): string {
  const { stderr = '', message = String(error) } = error as { stderr?: string; message?: string };
  return (stderr.trim() || message.trim()).split('\n').at(-1) ?? 'unknown reason';
}
