/**
 * Reads one folder of the model repository into a probe that can be loaded: manifest, hashes and selftest are checked,
 * nothing is run.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';

import type { z } from 'zod';

import { quoted } from '../disclosure.js';
import { messageOf } from '../errors.js';
import { sharedCopy } from '../wire/body-memory.js';
import { decodeSafetensors } from '../wire/safetensors.js';
import { isRecord } from '../wire/strict-json.js';
import type { DecodedBody } from '../wire/tensor.js';
import { checkTensors } from './check-request.js';
import { externalFiles } from './external-data.js';
import type { ProbeLocation } from './locations.js';
import { MODEL_FILE, manifestContradictions } from './manifest-rules.js';
import { type Manifest, manifestSchema, manifestV1Schema, upgraded } from './manifest.js';
import { ProbeRefusedError } from './refused.js';

const MANIFEST_FILE = 'probe.json';
const HASH_CHUNK_BYTES = 1_048_576;
const MAX_REASONS = 5;

/** A probe whose files have the hashes that its manifest gives. `model` holds the very bytes that were hashed. */
export interface ProbeFiles {
  readonly manifest: Manifest;
  readonly model: Uint8Array;
  /** SHA-256 of `model`, hex. */
  readonly sha256: string;
  /** SHA-256 of probe.json, which holds the hash of every other file. */
  readonly manifestSha256: string;
  readonly selftest: DecodedBody;
}

/**
 * Reads and checks one version of a probe.
 * @throws {ProbeRefusedError}
 */
export async function readProbeFolder({ folder, name, version }: ProbeLocation): Promise<ProbeFiles> {
  const text = await read(folder, MANIFEST_FILE);
  const manifest = parseManifest(text.toString('utf8'));
  if (manifest.name !== name || manifest.version !== version) {
    const stated = `${manifest.name} version ${manifest.version}`;
    throw new ProbeRefusedError(`probe.json says ${stated}, but its folder is ${name}/${version}`);
  }
  const contents = new Map<string, Buffer>();
  for (const [file, sha256] of Object.entries(manifest.files)) {
    // Only planning reads trajectories, in Python: a deployment may do without them.
    if (file === manifest.trajectories) continue;
    contents.set(file, await readVerified(folder, file, sha256));
  }
  refuseExternalFiles(contentOf(contents, MODEL_FILE));
  return {
    manifest,
    // A copy in memory of its own: a structured clone of a view clones all of the memory behind it.
    model: new Uint8Array(contentOf(contents, MODEL_FILE)),
    sha256: manifest.files[MODEL_FILE] ?? '',
    manifestSha256: await sha256Of(text),
    selftest: decodeSelftest(contentOf(contents, manifest.selftest.input), manifest),
  };
}

/**
 * Reads the text of a probe.json.
 * @throws {ProbeRefusedError} when it is not JSON, breaks the schema, or contradicts itself; the message names the fields.
 */
export function parseManifest(text: string): Manifest {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw new ProbeRefusedError(`probe.json is not JSON: ${messageOf(error)}`, { cause: error });
  }
  const { data, error } = readManifest(document);
  const reasons = data ? manifestContradictions(data) : error.issues.map(describeIssue);
  if (data && reasons.length === 0) return data;
  const more = reasons.length > MAX_REASONS ? `; and ${reasons.length - MAX_REASONS} more` : '';
  throw new ProbeRefusedError(`probe.json is not valid: ${reasons.slice(0, MAX_REASONS).join('; ')}${more}`);
}

function readManifest(
  document: unknown,
): { data: Manifest; error?: never } | { data?: never; error: z.ZodError } {
  const isV1 = isRecord(document) && document['schema_version'] === 1;
  if (!isV1) return manifestSchema.safeParse(document, { reportInput: true });
  const { data, error } = manifestV1Schema.safeParse(document, { reportInput: true });
  return data ? { data: upgraded(data) } : { error };
}

function describeIssue({ path: keys, message, input }: z.core.$ZodIssue): string {
  const isPlain = input === null || ['string', 'number', 'boolean'].includes(typeof input);
  return `${keys.join('.') || 'the document'}: ${message}${isPlain ? `, not ${JSON.stringify(input)}` : ''}`;
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

/** Hashes in chunks, so that a large file does not block the event loop while requests are answered. */
async function sha256Of(content: Buffer): Promise<string> {
  const hash = createHash('sha256');
  for (let start = 0; start < content.length; start += HASH_CHUNK_BYTES) {
    hash.update(content.subarray(start, start + HASH_CHUNK_BYTES));
    await setImmediate();
  }
  return hash.digest('hex');
}

function contentOf(contents: ReadonlyMap<string, Buffer>, file: string): Buffer {
  const content = contents.get(file);
  if (!content) throw new ProbeRefusedError(`files: ${file} is missing`);
  return content;
}

/** What a probe computes depends on the hashed files of its folder alone. */
function refuseExternalFiles(model: Uint8Array): void {
  let files: string[] = [];
  try {
    files = externalFiles(model);
  } catch (error) {
    throw new ProbeRefusedError(`${MODEL_FILE} cannot be loaded: ${messageOf(error)}`, { cause: error });
  }
  if (files.length === 0) return;
  const names = files.slice(0, MAX_REASONS).map(quoted).join(', ');
  throw new ProbeRefusedError(
    `${MODEL_FILE} has weights in other files (${names}); export it with all weights inside`,
  );
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
