/** The formats in which the body of a request to score can come: how large it may be, and how it is read. */
import type { IncomingHttpHeaders } from 'node:http';
import { promisify } from 'node:util';
import { gunzip, inflate } from 'node:zlib';

import type { Engine } from '../engine/types.js';
import { problem } from '../errors.js';
import type { Manifest } from '../probe/manifest.js';
import { sharedCopy } from '../wire/body-memory.js';
import { decodeInference, type InferenceBody, MAX_TOKENS } from '../wire/inference-protocol.js';
import type { JsonThread, ScoreTask } from '../wire/json-thread.js';
import { announcedSamples, decodeSafetensors, MAX_HEADER_BYTES } from '../wire/safetensors.js';
import type { DecodedBody } from '../wire/tensor.js';

export interface BodyFormat {
  /** Which of the limits of a body's size applies. */
  readonly limit: 'maxBodyBytes' | 'maxJsonBodyBytes';
  /** The number of samples that the first bytes announce; undefined while they do not. */
  readonly announced?: (memory: SharedArrayBuffer, received: number) => number | undefined;
  /** @throws {ProblemError} `malformed_body`; the signal's reason once it fires. */
  decode(memory: SharedArrayBuffer, signal: AbortSignal): DecodedBody | Promise<DecodedBody>;
}

export const SAFETENSORS: BodyFormat = {
  limit: 'maxBodyBytes',
  announced: announcedSamples,
  decode: decodeSafetensors,
};

/** Bodies of JSON, which a thread reads. */
export function jsonFormat(json: JsonThread, engine: Pick<Engine, 'probes' | 'resolve'>): BodyFormat {
  return {
    limit: 'maxJsonBodyBytes',
    decode: (bytes, signal) => json.read({ bytes, inputs: inputsOfAll(engine) }, signal),
  };
}

/** The inputs of all probes, because only the thread will know which of them the body names. */
function inputsOfAll(engine: Pick<Engine, 'probes' | 'resolve'>): ScoreTask['inputs'] {
  const references = engine.probes().flatMap(({ name, version }) => [name, `${name}@${version}`]);
  const inputs = new Map<string | undefined, Manifest['inputs']>();
  for (const reference of [undefined, ...references]) {
    try {
      inputs.set(reference, engine.resolve(reference).manifest.inputs);
    } catch {
      // The pipeline refuses a request for it.
    }
  }
  return inputs;
}

/** The codings of a compressed body of the Open Inference Protocol, by their names in Content-Encoding. */
export const CODINGS = { gzip: promisify(gunzip), deflate: promisify(inflate) } as const;

export interface InferenceFormatOptions {
  readonly json: JsonThread;
  readonly limits: Readonly<Record<BodyFormat['limit'], number>>;
  /** Called with the body once it has been read; returns what is to be scored. */
  readonly onBody: (body: InferenceBody) => DecodedBody;
}

/** Resolves when the compressed bodies so far are decompressed: one at a time, because a small one can become large. */
let decompressed: Promise<unknown> = Promise.resolve();

/**
 * Bodies of the Open Inference Protocol. `inference-header-content-length` is the length of the JSON before the binary part,
 * both uncompressed; without it the body is JSON alone.
 */
export function inferenceFormat(
  headers: IncomingHttpHeaders,
  { json, limits, onBody }: InferenceFormatOptions,
): BodyFormat {
  const jsonBytes = headers['inference-header-content-length'];
  const limit = jsonBytes === undefined ? 'maxJsonBodyBytes' : 'maxBodyBytes';
  const coding = headers['content-encoding']?.trim().toLowerCase();
  return {
    limit,
    decode: async (memory, signal) => {
      const bytes = isCoding(coding) ? await decompress(memory, CODINGS[coding], limits[limit]) : memory;
      const body =
        jsonBytes === undefined
          ? await json.read({ bytes, isInference: true }, signal)
          : decodeInference(bytes, checkedJsonBytes(jsonBytes, bytes), MAX_TOKENS);
      return onBody(body);
    },
  };
}

function isCoding(coding: string | undefined): coding is keyof typeof CODINGS {
  return coding !== undefined && Object.hasOwn(CODINGS, coding);
}

async function decompress(
  memory: SharedArrayBuffer,
  decode: (typeof CODINGS)[keyof typeof CODINGS],
  maxOutputLength: number,
): Promise<SharedArrayBuffer> {
  // zlib takes no shared memory.
  const turn = decompressed.then(() =>
    decode(Buffer.from(new Uint8Array(memory).slice()), { maxOutputLength }),
  );
  decompressed = turn.catch(() => {});
  try {
    return sharedCopy(await turn);
  } catch (cause) {
    const isTooLarge = (cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    if (!isTooLarge)
      throw problem('malformed_body', 'The body cannot be decompressed.', { field: 'body', cause });
    throw problem('body_too_large', 'The decompressed body is too large.', {
      field: 'body',
      expected: `at most ${maxOutputLength} bytes`,
    });
  }
}

function checkedJsonBytes(header: string | string[], { byteLength }: SharedArrayBuffer): number {
  const length = typeof header === 'string' && /^\d+$/.test(header) ? Number(header) : NaN;
  const most = Math.min(MAX_HEADER_BYTES, byteLength);
  if (length <= most) return length;
  throw problem('invalid_header', 'The length of the JSON is not valid.', {
    field: 'inference-header-content-length',
    received: header,
    expected: `a number of bytes up to ${most}`,
  });
}
