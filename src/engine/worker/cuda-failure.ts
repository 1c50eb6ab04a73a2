/**
 * Says in one sentence why CUDA cannot be used. ONNX Runtime's own message is a C++ call with its source file, or only that a
 * library cannot be loaded, without its name.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import { messageOf } from '../../errors.js';

const CANNOT_LOAD = 'Failed to load shared library';
const MISSING_LIBRARY = /^(\S+): cannot open shared object file/;
const DRIVER_LIBRARY = 'libcuda.so.1';
const CUDA_ERROR = /CUDA failure (\d+): ([^;]+?) ?;/;
/** cudaErrorInsufficientDriver, cudaErrorNoDevice and cudaErrorInvalidDevice of the CUDA runtime. */
const CUDA_ERRORS: Readonly<Record<string, string>> = {
  35: 'the NVIDIA driver is too old for CUDA 13',
  100: 'the NVIDIA driver finds no CUDA device',
  101: 'this machine has no CUDA device of this number',
};

export function cudaFailure(error: unknown): string {
  const message = messageOf(error);
  if (message.includes(CANNOT_LOAD)) return loadFailure() ?? message;
  const [, code = '', text = ''] = CUDA_ERROR.exec(message) ?? [];
  if (code === '') return message;
  return CUDA_ERRORS[code] ?? `CUDA error ${code}: ${text}`;
}

function loadFailure(): string | undefined {
  const module = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
  const folder = path.join(path.dirname(module), 'bin', 'napi-v6', process.platform, process.arch);
  const provider = path.join(folder, 'libonnxruntime_providers_cuda.so');
  if (!existsSync(provider)) return 'ONNX Runtime’s CUDA libraries are not installed';
  try {
    // It is not a module for Node, so this always throws: the loader's message names the library that is missing.
    process.dlopen({ exports: {} }, provider);
  } catch (error) {
    const [, library] = MISSING_LIBRARY.exec(messageOf(error)) ?? [];
    if (library === DRIVER_LIBRARY) return `no NVIDIA driver is installed: ${library} is missing`;
    if (library !== undefined) return `the CUDA library ${library} is missing`;
  }
  return undefined;
}
