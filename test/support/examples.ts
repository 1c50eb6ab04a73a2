/** Reads the files of examples/ as a client's input. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

import type { ScoreInput } from '../../clients/typescript/src/index.js';
import { decodeSafetensors } from '../../src/wire/safetensors.js';

/** @param name of a file in examples/, without its extension. */
export async function readExample(name: string): Promise<ScoreInput> {
  const file = await readFile(`examples/${name}.safetensors`);
  const { tensors, bytes } = decodeSafetensors(Uint8Array.from(file).buffer);
  const tensor = (tensorName: string) => {
    const { dtype, shape, byteOffset, byteLength } = tensors.get(tensorName) ?? assert.fail(tensorName);
    return { dtype, shape, data: new Uint8Array(bytes, byteOffset, byteLength) };
  };
  return {
    attention: tensor('attention'),
    tokenMask: tensor('token_mask').data,
    timestep: new Float32Array(Uint8Array.from(tensor('timestep').data).buffer),
  };
}
