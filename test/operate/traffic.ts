/**
 * Sends the traffic of the dashboards' test and records what was sent and answered. It counts from the answers alone, never
 * from a metric.
 */
import assert from 'node:assert/strict';

import { readAnswer, type SampleResult } from '../../clients/typescript/src/answer.js';
import { encodeRequest, type ScoreInput } from '../../clients/typescript/src/request.js';
import type { Manifest } from '../../src/probe/manifest.js';
import { readExample } from '../support/examples.js';
import { CANARY, type Replicas, STABLE } from './service.js';

/** Files in examples/, all captured at this step. */
const EXAMPLES = ['group', 'dropped', 'kept'];
const EXAMPLE_STEP = 5;
/** How often each thing is sent. */
export const COUNTS = {
  /** Scored groups, by version. */
  groups: new Map([
    [STABLE, 12],
    [CANARY, 36],
  ]),
  lateRequests: 5,
  invalidRequests: 4,
  unknownModels: 3,
  unknownAddresses: 2,
  repeatedReceipts: 1,
  malformedReceipts: 2,
  clippedQualities: 1,
};
/** Of so many finished samples, the quality of one is not reported. */
const UNREPORTED_EVERY = 5;
/** 2.0 in half precision. */
const F16_TWO = 0x4000;

/** One sample with its decision. */
export interface DecidedSample {
  readonly version: number;
  readonly step: number;
  readonly result: SampleResult;
  /** Quality reported for the finished image; undefined when none was. */
  quality?: number;
}

/** What the metrics must show, beside COUNTS. */
export interface SentTraffic {
  readonly decided: readonly DecidedSample[];
  /** Samples in the requests with invalid values. */
  readonly invalidSamples: number;
  /** Time from Server-Timing that callers waited, in s, by version. */
  readonly waitedSeconds: ReadonlyMap<number, number>;
}

/** Resolves after the last answer. */
export async function sendTraffic({ origins: [origin = ''], manifest }: Replicas): Promise<SentTraffic> {
  const examples = await Promise.all(EXAMPLES.map(readExample));
  const decided: DecidedSample[] = [];
  const waitedSeconds = new Map([...COUNTS.groups.keys()].map((version) => [version, 0]));
  const score = (body: Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<Response> => {
    const type = { 'content-type': 'application/octet-stream' };
    return fetch(`${origin}/score`, { method: 'POST', headers: { ...type, ...headers }, body });
  };
  const addWait = (version: number, response: Response): void => {
    const [, total = '0'] = /total;dur=([\d.]+)/.exec(response.headers.get('server-timing') ?? '') ?? [];
    waitedSeconds.set(version, (waitedSeconds.get(version) ?? 0) + Number(total) / 1000);
  };

  for (const [version, count] of COUNTS.groups) {
    for (let group = 0; group < count; group += 1) {
      const example = examples[group % examples.length] ?? assert.fail();
      const response = await score(bodyOf(manifest, example, version, `group ${version} ${group}`));
      const answer = readAnswer(await response.json(), example.attention.shape[0] ?? 0);
      assert.ok(answer?.outcome === 'scored', JSON.stringify(answer));
      addWait(version, response);
      decided.push(...answer.results.map((result) => ({ version, step: EXAMPLE_STEP, result })));
    }
  }

  const [group = assert.fail()] = examples;
  for (let index = 0; index < COUNTS.lateRequests; index += 1) {
    const response = await score(bodyOf(manifest, group, CANARY, 'late'), { 'x-deadline-ms': '0' });
    assert.equal(((await response.json()) as { outcome: string }).outcome, 'failed_open');
  }
  const invalid = bodyOf(manifest, withInvalidValue(group), CANARY, 'invalid');
  for (let index = 0; index < COUNTS.invalidRequests; index += 1) {
    const response = await score(invalid);
    assert.equal(response.status, 422, await response.text());
    addWait(CANARY, response);
  }
  for (let index = 0; index < COUNTS.unknownModels; index += 1)
    assert.equal((await score(bodyOf(manifest, group, CANARY + 1, 'unknown'))).status, 404);
  for (let index = 0; index < COUNTS.unknownAddresses; index += 1)
    assert.equal((await fetch(`${origin}/nowhere`)).status, 404);

  await sendFeedback(origin, decided, manifest.metric.range);
  const invalidSamples = COUNTS.invalidRequests * (group.attention.shape[0] ?? NaN);
  return { decided, invalidSamples, waitedSeconds };
}

/** Reports most qualities, one receipt a second time, and two strings that are no receipts. */
async function sendFeedback(origin: string, decided: readonly DecidedSample[], range: readonly number[]) {
  const [low = NaN, high = NaN] = range;
  const finished = decided.filter(({ result }) => result.decision === 'keep');
  const reported = finished.filter((_, index) => index % UNREPORTED_EVERY !== 0);
  const [first] = reported;
  assert.ok(first?.result.receipt !== undefined);
  // Every explored sample turns out well, so that the alert about false drops must fire.
  for (const [index, sample] of reported.entries())
    sample.quality = sample.result.wouldDrop || index % 2 === 0 ? high : low;
  // Outside the range of the metric.
  first.quality = high + (high - low) / 5;
  const items = reported.map(({ result, quality }) => ({ receipt: result.receipt, quality }));
  const receipts = [first.result.receipt, 'none', 'none either'];
  const refused = receipts.map((receipt) => ({ receipt, quality: high }));
  const response = await fetch(`${origin}/feedback`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ feedback: [...items, ...refused] }),
  });
  assert.equal(((await response.json()) as { accepted: number }).accepted, reported.length);
}

function bodyOf(manifest: Manifest, input: ScoreInput, version: number, group: string) {
  return encodeRequest(input, {
    model: `${manifest.name}@${version}`,
    group,
    sampleIds: Array.from({ length: input.attention.shape[0] ?? 0 }, (_, index) => `sample ${index}`),
    step: EXAMPLE_STEP,
    totalSteps: manifest.total_steps,
    captureId: manifest.capture_id,
  });
}

/** Returns the same input with one attention value above 1. */
function withInvalidValue(input: ScoreInput): ScoreInput {
  const data = Uint8Array.from(input.attention.data as Uint8Array);
  new DataView(data.buffer).setUint16(0, F16_TWO, true);
  return { ...input, attention: { ...input.attention, data } };
}
