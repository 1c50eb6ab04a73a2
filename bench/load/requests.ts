/** Owns the requests that are sent: every byte of them made before the clock starts. */
import { cutSamples, bodyOf, bytesOf, firstTokens, type Sample, tensorOf, usedTokens } from '../samples.js';
import type { RequestBytes } from './connection.js';
import { type Load, SAMPLES_PER_REQUEST, type Target } from './protocol.js';

/** Of what is left of a deadline, the part that is given to the server; the rest is for the way back. As the client does. */
const SERVER_SHARE = 0.95;
const DEADLINE_DIGITS = 3;

/** Gives the next request; with what is left of its deadline, if it has one. */
export type NextRequest = (leftMs?: number) => RequestBytes;

/** What only answers with scores contain. */
export const SCORED_MARK: Readonly<Record<Target['kind'], string>> = {
  service: '"outcome":"scored"',
  peer: '"scores":',
};

/** Requests made of the samples in `example`, a body of the service; they follow each other round and round. */
export function prepareRequests(example: Uint8Array, load: Load, target: Target): NextRequest {
  const samples = samplesFor(cutSamples(example), load);
  const groups = samples.map((_, first) =>
    Array.from({ length: SAMPLES_PER_REQUEST[load] }, (__, offset) => at(samples, first + offset)),
  );
  const { host } = new URL(target.url);
  const prepared = groups.map((group) =>
    target.kind === 'service' ? serviceRequest(group, host) : peerRequest(group, host),
  );
  let turn = 0;
  return (leftMs) => {
    const { head, body } = at(prepared, turn);
    turn += 1;
    if (leftMs === undefined) return { head: `${head}\r\n`, body };
    const serverMs = Math.max(0, leftMs * SERVER_SHARE).toFixed(DEADLINE_DIGITS);
    return { head: `${head}x-deadline-ms: ${serverMs}\r\n\r\n`, body };
  };
}

function samplesFor(samples: readonly Sample[], load: Load): readonly Sample[] {
  return load === 'one_token' ? samples.map((sample) => firstTokens(sample, 1)) : samples;
}

/** As the example is: in safetensors layout, its padding included. */
function serviceRequest(group: readonly Sample[], host: string): RequestBytes {
  const body = bodyOf(group);
  return { head: headOf('/score', host, body), body };
}

/** The peer takes the bare attention; it knows no mask, so padding is left out. */
export function peerRequest(group: readonly Sample[], host: string): RequestBytes {
  const tokens = Math.max(...group.map(usedTokens));
  const cut = group.map((sample) => firstTokens(sample, tokens));
  const body = Buffer.concat(cut.map((sample) => bytesOf(tensorOf(sample, 'attention'))));
  const timestep = Buffer.from(bytesOf(tensorOf(at(cut, 0), 'timestep'))).readFloatLE();
  const path = `/score?samples=${group.length}&tokens=${tokens}&timestep=${timestep}`;
  return { head: headOf(path, host, body), body };
}

/** Without the empty line at the end, so that headers can still be added. */
function headOf(path: string, host: string, body: Uint8Array): string {
  return [
    `POST ${path} HTTP/1.1`,
    `host: ${host}`,
    'content-type: application/octet-stream',
    `content-length: ${body.length}`,
    '',
  ].join('\r\n');
}

function at<Item>(items: readonly Item[], index: number): Item {
  const item = items[index % items.length];
  if (item === undefined) throw new RangeError('the example holds no sample');
  return item;
}
