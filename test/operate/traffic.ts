/**
 * Owns the traffic of the test, and the truth about it: what was sent, what came back, and what quality each finished
 * sample had. It counts for itself, from the answers, and never looks at a metric.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

import { readAnswer, type SampleResult } from '../../clients/typescript/src/answer.js';
import { encodeSafetensors, type TensorData } from '../../clients/typescript/src/safetensors.js';
import { decodeSafetensors } from '../../src/wire/safetensors.js';
import { CANARY, type RunningService, STABLE } from './service.js';

const EXAMPLES = ['group', 'dropped', 'kept'].map((name) => `examples/${name}.safetensors`);
const GROUPS_TO_CANARY = 36;
const GROUPS_TO_STABLE = 12;
export const LATE_REQUESTS = 5;
export const WRONG_REQUESTS = 4;
export const UNKNOWN_MODELS = 3;
export const UNKNOWN_ADDRESSES = 2;
/** Finished samples whose quality nobody reports: one in so many. */
const SILENT_EVERY = 5;
/** 2.0 as a half. */
const F16_TWO = 0x4000;

/** One sample that was decided on. */
export interface Decided {
  readonly version: number;
  readonly step: number;
  readonly result: SampleResult;
  /** Of the finished image, as it was reported; undefined where none was. */
  quality?: number;
}

/** What the metrics must say. */
export interface Truth {
  readonly decided: readonly Decided[];
  readonly groups: ReadonlyMap<number, number>;
  /** Samples in the requests whose values were wrong. */
  readonly wrongSamples: number;
  /** Time that callers waited by version, s, as Server-Timing said. */
  readonly waited: ReadonlyMap<number, number>;
  readonly repeatedReceipts: number;
  readonly malformedReceipts: number;
  readonly clippedQualities: number;
}

interface Example {
  readonly tensors: Record<string, TensorData>;
  readonly metadata: Record<string, string>;
  readonly samples: number;
}

/** Sends all of it and resolves when the last answer is there. */
export async function sendTraffic({ origin, manifest }: RunningService): Promise<Truth> {
  const examples = await Promise.all(EXAMPLES.map(readExample));
  const decided: Decided[] = [];
  const waited = new Map([STABLE, CANARY].map((version) => [version, 0]));
  const groups = new Map([
    [STABLE, GROUPS_TO_STABLE],
    [CANARY, GROUPS_TO_CANARY],
  ]);
  const wait = (version: number, response: Response): void => {
    const [, total = '0'] = /total;dur=([\d.]+)/.exec(response.headers.get('server-timing') ?? '') ?? [];
    waited.set(version, (waited.get(version) ?? 0) + Number(total) / 1000);
  };

  for (const [version, count] of groups) {
    for (let group = 0; group < count; group += 1) {
      const example = examples[group % examples.length] ?? assert.fail();
      const response = await score(origin, bodyOf(example, version, `group ${version} ${group}`));
      const answer = readAnswer(await response.json(), example.samples);
      assert.ok(answer?.outcome === 'scored', JSON.stringify(answer));
      wait(version, response);
      const step = Number(example.metadata['step']);
      decided.push(...answer.results.map((result) => ({ version, step, result })));
    }
  }

  const [group] = examples;
  assert.ok(group);
  const good = bodyOf(group, CANARY, 'late');
  for (let index = 0; index < LATE_REQUESTS; index += 1) {
    const response = await score(origin, good, { 'x-deadline-ms': '0' });
    assert.equal(((await response.json()) as { outcome: string }).outcome, 'failed_open');
  }
  const wrong = bodyOf(withWrongValue(group), CANARY, 'wrong');
  for (let index = 0; index < WRONG_REQUESTS; index += 1) {
    const response = await score(origin, wrong);
    assert.equal(response.status, 422, await response.text());
    wait(CANARY, response);
  }
  for (let index = 0; index < UNKNOWN_MODELS; index += 1) {
    assert.equal((await score(origin, bodyOf(group, 99, 'unknown'))).status, 404);
  }
  for (let index = 0; index < UNKNOWN_ADDRESSES; index += 1) {
    assert.equal((await fetch(`${origin}/nowhere`)).status, 404);
  }

  const feedback = await sendFeedback(origin, decided, manifest.metric.range);
  return { decided, groups, wrongSamples: WRONG_REQUESTS * group.samples, waited, ...feedback };
}

/** Reports most qualities; then one receipt again, and two that are none. */
async function sendFeedback(origin: string, decided: readonly Decided[], [low, high]: readonly number[]) {
  const finished = decided.filter(({ result }) => result.decision === 'keep');
  const reported = finished.filter((_, index) => index % SILENT_EVERY !== 0);
  const [first] = reported;
  assert.ok(first?.result.receipt !== undefined && low !== undefined && high !== undefined);
  const beyond = high + (high - low) / 5;
  for (const [index, sample] of reported.entries()) {
    // What the probe would have dropped turns out well: the false drops that an operator must hear of.
    sample.quality = sample.result.wouldDrop || index % 2 === 0 ? high : low;
  }
  first.quality = beyond;
  const items = reported.map(({ result, quality }) => ({ receipt: result.receipt, quality }));
  const extra = [
    { receipt: first.result.receipt, quality: high },
    { receipt: 'none', quality: high },
    { receipt: 'none either', quality: high },
  ];
  const response = await fetch(`${origin}/feedback`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ feedback: [...items, ...extra] }),
  });
  assert.equal(((await response.json()) as { accepted: number }).accepted, reported.length);
  return { repeatedReceipts: 1, malformedReceipts: 2, clippedQualities: 1 };
}

function score(
  origin: string,
  body: Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${origin}/score`, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream', ...headers },
    body,
  });
}

function bodyOf(example: Example, version: number, group: string): Uint8Array<ArrayBuffer> {
  return encodeSafetensors(example.tensors, {
    ...example.metadata,
    model: `${example.metadata['model']}@${version}`,
    group,
    sample_ids: JSON.stringify(Array.from({ length: example.samples }, (_, index) => `sample ${index}`)),
  });
}

async function readExample(file: string): Promise<Example> {
  const bytes = await readFile(file);
  const body = decodeSafetensors(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const tensors = Object.fromEntries(
    [...body.tensors].map(([name, { dtype, shape, byteOffset, byteLength }]): [string, TensorData] => [
      name,
      { dtype, shape, data: new Uint8Array(body.bytes, byteOffset, byteLength) },
    ]),
  );
  const samples = tensors['timestep']?.shape[0] ?? 0;
  return { tensors, metadata: Object.fromEntries(body.metadata), samples };
}

/** The same with one attention that is no probability. */
function withWrongValue(example: Example): Example {
  const attention = example.tensors['attention'] ?? assert.fail();
  const bytes = Uint8Array.from(attention.data as Uint8Array);
  new DataView(bytes.buffer).setUint16(0, F16_TWO, true);
  return { ...example, tensors: { ...example.tensors, attention: { ...attention, data: bytes } } };
}
