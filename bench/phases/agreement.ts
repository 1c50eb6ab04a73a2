/** Owns the check that all parties do the same work: their scores of the same samples must agree. */
import { request } from 'undici';

import type { BenchContext, Rival } from '../bench-context.js';
import { peerRequest } from '../load/requests.js';
import { bodyOf, type Sample } from '../samples.js';

/** The graph computes in half precision in part, and differently for each batch size. */
const TOLERANCE = 0.01;
const PATH = /^POST (\S+)/;

/** @throws {Error} when somebody's scores differ from the raw ones. */
export async function checkAgreement(context: BenchContext, samples: readonly Sample[]): Promise<void> {
  const { scores: expected } = await context.raw.ask({ kind: 'scores' });
  for (const rival of [context.service, ...context.peers]) {
    const scores = await scoresFrom(rival, samples);
    const agrees =
      scores.length === expected.length &&
      scores.every((score, index) => Math.abs(score - (expected[index] ?? NaN)) <= TOLERANCE);
    if (!agrees)
      throw new Error(
        `${rival.name} scores ${scores.join(', ')} where raw runs score ${expected.join(', ')}`,
      );
  }
}

async function scoresFrom({ name, target }: Rival, samples: readonly Sample[]): Promise<number[]> {
  const { host } = new URL(target.url);
  const { path, body } =
    target.kind === 'service'
      ? { path: '/score', body: bodyOf(samples) }
      : { path: pathOf(peerRequest(samples, host).head), body: peerRequest(samples, host).body };
  const headers = { 'content-type': 'application/octet-stream' };
  const answer = await request(new URL(path, target.url), { method: 'POST', headers, body });
  const text = await answer.body.text();
  if (answer.statusCode !== 200) throw new Error(`${name} answered ${answer.statusCode}: ${text}`);
  const { results, scores } = JSON.parse(text) as { results?: { score: number }[]; scores?: number[] };
  return scores ?? results?.map(({ score }) => score) ?? [];
}

function pathOf(head: string): string {
  return PATH.exec(head)?.[1] ?? '';
}
