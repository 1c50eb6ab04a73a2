/**
 * The CUDA libraries: ONNX Runtime's provider beside onnxruntime-node, and the libraries of CUDA 13 and cuDNN 9 that it needs.
 * Where they are missing they come from PyPI: the package onnxruntime-gpu has the provider for the same release.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import { ROOT } from '../../bench/processes/server.js';

const FOLDER = path.join(ROOT, 'out', 'cuda');
const PYTHON = path.join(FOLDER, 'bin', 'python');
const PACKAGE = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
const BINDING = path.join(path.dirname(PACKAGE), 'bin', 'napi-v6', 'linux', 'x64');
const PROVIDERS = ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'];
const DRIVER = 'libcuda.so.1';

export interface CudaLibraries {
  /** For LD_LIBRARY_PATH; empty when the system finds the libraries by itself. */
  readonly searchPath: string;
  /** The Python that was used, for device_memory.py. */
  readonly python: string;
  /** Removes what was put beside onnxruntime-node. */
  remove(): void;
}

/** @throws {Error} when a library other than the driver's cannot be found. */
export function findLibraries(onProgress: (line: string) => void): CudaLibraries {
  const added = PROVIDERS.filter((name) => !existsSync(path.join(BINDING, name)));
  const isInstalled = added.length === 0 && missingLibraries('').length === 0;
  if (!isInstalled) install(onProgress);
  const packages = isInstalled ? '' : sitePackages();
  for (const name of added)
    symlinkSync(path.join(packages, 'onnxruntime', 'capi', name), path.join(BINDING, name));
  const remove = (): void => {
    for (const name of added) rmSync(path.join(BINDING, name), { force: true });
  };
  const searchPath = isInstalled ? '' : libraryFolders(path.join(packages, 'nvidia')).join(':');
  const missing = missingLibraries(searchPath);
  if (missing.length === 0) return { searchPath, python: isInstalled ? 'python3' : PYTHON, remove };
  remove();
  throw new Error(`these libraries of the CUDA provider are missing: ${missing.join(', ')}`);
}

/** The libraries that the provider needs and the loader does not find, except for the driver's. */
function missingLibraries(searchPath: string): string[] {
  const provider = path.join(BINDING, 'libonnxruntime_providers_cuda.so');
  const env = { ...process.env, ...(searchPath !== '' && { LD_LIBRARY_PATH: searchPath }) };
  const needed = execFileSync('ldd', [provider], { encoding: 'utf8', env });
  const missing = needed.split('\n').filter((line) => line.includes('not found'));
  return missing.map((line) => line.trim().replace(/ .*/, '')).filter((name) => name !== DRIVER);
}

function install(onProgress: (line: string) => void): void {
  if (!existsSync(PYTHON)) execFileSync('python3', ['-m', 'venv', FOLDER]);
  const { version } = JSON.parse(readFileSync(PACKAGE, 'utf8')) as { version: string };
  onProgress(`installing onnxruntime-gpu ${version} and CUDA from PyPI into out/cuda: 2.5 GB, once`);
  const requirement = `onnxruntime-gpu[cuda,cudnn]==${version}`;
  execFileSync(PYTHON, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', requirement]);
}

function sitePackages(): string {
  const script = 'import sysconfig; print(sysconfig.get_paths()["purelib"])';
  return execFileSync(PYTHON, ['-c', script], { encoding: 'utf8' }).trim();
}

function libraryFolders(nvidia: string): string[] {
  return readdirSync(nvidia)
    .map((name) => path.join(nvidia, name, 'lib'))
    .filter((folder) => existsSync(folder));
}

/** Compiles the stand-in for the driver. @returns its folder, or undefined without a C compiler. */
export function compileStandIn(): string | undefined {
  const folder = path.join(ROOT, 'out', 'cuda-stand-in');
  mkdirSync(folder, { recursive: true });
  const source = path.join(ROOT, 'test', 'cuda', 'stand-in-driver.c');
  const options = ['-shared', '-fPIC', `-Wl,-soname,${DRIVER}`, '-o', path.join(folder, DRIVER), source];
  return spawnSync('cc', options).status === 0 ? folder : undefined;
}

/** Free and total memory of the device, MiB; undefined without a device. */
export function deviceMemory({ python, searchPath }: CudaLibraries): readonly [number, number] | undefined {
  const env = { ...process.env, ...(searchPath !== '' && { LD_LIBRARY_PATH: searchPath }) };
  const { status, stdout } = spawnSync(python, [memoryScript()], { encoding: 'utf8', env });
  if (status !== 0) return undefined;
  const [free = NaN, total = NaN] = stdout.trim().split(' ').map(Number);
  return [free, total];
}

export function memoryScript(): string {
  return path.join(ROOT, 'test', 'cuda', 'device_memory.py');
}
