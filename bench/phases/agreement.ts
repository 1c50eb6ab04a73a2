/** Checks that all servers do the same work: their scores of the same samples must agree. */
import type { BenchContext, MeasuredServer } from '../measure.js';
import { peerRequest } from '../load/requests.js';
import { bodyOf, type Sample } from '../samples.js';

/** The graph computes partly in half precision, and its rounding depends on the batch size. */
const TOLERANCE = 0.01;
const PATH = /^POST (\S+)/;

/** @throws {Error} when the scores of a server differ from the raw ones. */
export async function checkAgreement(context: BenchContext, samples: readonly Sample[]): Promise<void> {
  const { scores: expected } = await context.raw.call({ kind: 'scores' });
  for (const server of [context.service, ...context.peers]) {
    const scores = await scoresFrom(server, samples);
    const agrees =
      scores.length === expected.length &&
      scores.every((score, index) => Math.abs(score - (expected[index] ?? NaN)) <= TOLERANCE);
    if (!agrees)
      throw new Error(
        `${server.name} scores ${scores.join(', ')} where raw runs score ${expected.join(', ')}`,
      );
  }
}

async function scoresFrom({ name, target }: MeasuredServer, samples: readonly Sample[]): Promise<number[]> {
  const peer = peerRequest(samples, new URL(target.url).host);
  const [, peerPath = ''] = PATH.exec(peer.head) ?? [];
  const [path, body] = target.kind === 'service' ? ['/score', bodyOf(samples)] : [peerPath, peer.body];
  const headers = { 'content-type': 'application/octet-stream' };
  const answer = await fetch(new URL(path, target.url), { method: 'POST', headers, body });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${name} answered ${answer.status}: ${text}`);
  const { results, scores } = JSON.parse(text) as { results?: { score: number }[]; scores?: number[] };
  return scores ?? results?.map(({ score }) => score) ?? [];
}
