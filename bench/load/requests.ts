/** Prepares the bytes of all requests before the measurement. */
import { type Load, SAMPLES_PER_REQUEST, type Target } from '../protocol.js';
import {
  bodyOf,
  bytesOf,
  cutSamples,
  firstTokens,
  joinTensors,
  type Sample,
  tensorOf,
  usedTokens,
} from '../samples.js';
import type { RequestBytes } from './connection.js';
import { inferenceRequest } from './inference-request.js';

/** The share of a deadline that the server gets, as in the client; the rest is for the answer's way back. */
const SERVER_SHARE = 0.95;
const DEADLINE_DIGITS = 3;

/** @param leftMs what is left of the deadline, when there is one. */
export type NextRequest = (leftMs?: number) => RequestBytes;

/** Texts that only answers with scores contain. */
export const SCORED_MARK: Readonly<Record<Target['kind'], string>> = {
  service: '"outcome":"scored"',
  protocol: '"outcome":"scored"',
  peer: '"scores":',
};

/** @param example a request body of the service. Its samples are sent in turn. */
export function prepareRequests(
  example: Uint8Array,
  load: Load,
  target: Target,
  headers: Readonly<Record<string, string>> = {},
): NextRequest {
  const samples = samplesFor(cutSamples(example), load);
  const extra = Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  const groups = samples.map((_, first) =>
    Array.from({ length: SAMPLES_PER_REQUEST[load] }, (__, offset) => itemAt(samples, first + offset)),
  );
  const { host } = new URL(target.url);
  const prepared = groups.map((group) => WRITERS[target.kind](group, host));
  let turn = 0;
  return (leftMs) => {
    const { head, body } = itemAt(prepared, turn);
    turn += 1;
    if (leftMs === undefined) return { head: `${head}${extra}\r\n`, body };
    const serverMs = Math.max(0, leftMs * SERVER_SHARE).toFixed(DEADLINE_DIGITS);
    return { head: `${head}${extra}x-deadline-ms: ${serverMs}\r\n\r\n`, body };
  };
}

function samplesFor(samples: readonly Sample[], load: Load): readonly Sample[] {
  return load === 'one_token' ? samples.map((sample) => firstTokens(sample, 1)) : samples;
}

/** In safetensors layout, with padding, as in the example. */
function serviceRequest(group: readonly Sample[], host: string): RequestBytes {
  const body = bodyOf(group);
  return { head: headOf('/score', host, body), body };
}

/** The same tensors and metadata as in a request to /score; the model is a part of the path. */
function protocolRequest(group: readonly Sample[], host: string): RequestBytes {
  const { model = '', ...parameters } = group[0]?.metadata ?? {};
  const { body, jsonBytes } = inferenceRequest(joinTensors(group), { parameters });
  const head = headOf(`/v2/models/${model}/infer`, host, body);
  return { head: `${head}inference-header-content-length: ${jsonBytes}\r\n`, body };
}

/** The peer takes the attention alone, without padding because it has no mask. */
export function peerRequest(group: readonly Sample[], host: string): RequestBytes {
  const tokens = Math.max(...group.map(usedTokens));
  const cut = group.map((sample) => firstTokens(sample, tokens));
  const body = Buffer.concat(cut.map((sample) => bytesOf(tensorOf(sample, 'attention'))));
  const timestep = Buffer.from(bytesOf(tensorOf(itemAt(cut, 0), 'timestep'))).readFloatLE();
  const path = `/score?samples=${group.length}&tokens=${tokens}&timestep=${timestep}`;
  return { head: headOf(path, host, body), body };
}

const WRITERS = { service: serviceRequest, protocol: protocolRequest, peer: peerRequest } as const;

/** Without the final empty line, so that headers can be added. */
function headOf(path: string, host: string, body: Uint8Array): string {
  return [
    `POST ${path} HTTP/1.1`,
    `host: ${host}`,
    'content-type: application/octet-stream',
    `content-length: ${body.length}`,
    '',
  ].join('\r\n');
}

function itemAt<Item>(items: readonly Item[], index: number): Item {
  const item = items[index % items.length];
  if (item === undefined) throw new RangeError('the example holds no sample');
  return item;
}
