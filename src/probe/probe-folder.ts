/**
 * Owns how a folder becomes a probe that can be loaded: manifest, hashes and selftest read and checked, nothing run yet.
 * A function of the folder alone, so that a later look at the same folder can be taken at any time.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';

import { sharedCopy } from '../wire/body-memory.js';
import { checkTensors } from './check-request.js';
import { decodeSafetensors } from '../wire/safetensors.js';
import type { DecodedBody } from '../wire/tensor.js';
import { parseManifest } from './read-manifest.js';
import { MODEL_FILE } from './manifest-rules.js';
import type { Manifest } from './manifest.js';
import type { ProbeLocation } from './probe-locations.js';
import { ProbeRefusedError, messageOf } from './refusal.js';

const MANIFEST_FILE = 'probe.json';
const HASHED_AT_ONCE_BYTES = 1_048_576;

/** A probe whose files are what its manifest says. The bytes that were hashed are the bytes that will be loaded. */
export interface ProbeFiles {
  readonly manifest: Manifest;
  readonly model: Uint8Array;
  /** SHA-256 of `model`, hex. */
  readonly sha256: string;
  /** SHA-256 of probe.json, which names the hash of every other file. */
  readonly manifestSha256: string;
  readonly selftest: DecodedBody;
}

/**
 * Reads and checks one version of a probe.
 * @throws {ProbeRefusedError} with what is wrong and in which file.
 */
export async function readProbeFolder({ folder, name, version }: ProbeLocation): Promise<ProbeFiles> {
  const text = await read(folder, MANIFEST_FILE);
  const manifest = parseManifest(text.toString('utf8'));
  if (manifest.name !== name || manifest.version !== version) {
    const said = `${manifest.name} version ${manifest.version}`;
    throw new ProbeRefusedError(`probe.json says ${said}, but its folder is ${name}/${version}`);
  }
  const contents = new Map<string, Buffer>();
  for (const [file, sha256] of Object.entries(manifest.files)) {
    contents.set(file, await readVerified(folder, file, sha256));
  }
  return {
    manifest,
    // In memory of its own: a clone of a view would take all of the memory behind it along.
    model: new Uint8Array(contentOf(contents, MODEL_FILE)),
    sha256: manifest.files[MODEL_FILE] ?? '',
    manifestSha256: await sha256Of(text),
    selftest: decodeSelftest(contentOf(contents, manifest.selftest.input), manifest),
  };
}

async function read(folder: string, file: string): Promise<Buffer> {
  try {
    return await readFile(path.join(folder, file));
  } catch (error) {
    throw new ProbeRefusedError(`${file} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

async function readVerified(folder: string, file: string, expected: string): Promise<Buffer> {
  const content = await read(folder, file);
  const actual = await sha256Of(content);
  if (actual === expected) return content;
  throw new ProbeRefusedError(`${file} has the SHA-256 ${actual}, but probe.json says ${expected}`);
}

/** Piece by piece: at once, a large file would hold up the requests that are being answered. */
async function sha256Of(content: Buffer): Promise<string> {
  const hash = createHash('sha256');
  for (let start = 0; start < content.length; start += HASHED_AT_ONCE_BYTES) {
    hash.update(content.subarray(start, start + HASHED_AT_ONCE_BYTES));
    await setImmediate();
  }
  return hash.digest('hex');
}

function contentOf(contents: ReadonlyMap<string, Buffer>, file: string): Buffer {
  const content = contents.get(file);
  if (!content) throw new ProbeRefusedError(`files: ${file} is missing`);
  return content;
}

function decodeSelftest(content: Buffer, manifest: Manifest): DecodedBody {
  const { input, scores } = manifest.selftest;
  try {
    const body = decodeSafetensors(sharedCopy(content));
    const { samples } = checkTensors(body, manifest, scores.length);
    if (samples === scores.length) return body;
  } catch (error) {
    throw new ProbeRefusedError(`${input}: ${messageOf(error)}`, { cause: error });
  }
  throw new ProbeRefusedError(`${input}: it holds fewer samples than selftest.scores, ${scores.length}`);
}
