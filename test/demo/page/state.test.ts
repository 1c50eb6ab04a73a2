/** The state of the page follows the messages of its worker, and ignores those of earlier drawings. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { SampleResult } from '../../../clients/typescript/src/index.js';
import type { DrawingNews, Pictures } from '../../../demo/page/messages.js';
import { type Action, reduce, START, type State } from '../../../demo/page/app/state.js';
import { statusOf } from '../../../demo/page/app/status-text.js';

const ORDER = { drawing: 1, caption: 'a cat', firstSeed: 7, budget: 3 };
const FACTS = {
  vocabulary: [],
  maxWords: 13,
  totalSteps: 25,
  side: 1,
  mapWidth: 1,
  mapHeight: 1,
  goodAt: 0.6,
};

function pictures(...seeds: number[]): Pictures {
  return { seeds, pixels: seeds.map((seed) => new Uint8ClampedArray(4).fill(seed)) };
}

function result(decision: 'keep' | 'drop', score: number): SampleResult {
  return { decision, score } as SampleResult;
}

function after(...news: (DrawingNews | Action)[]): State {
  const actions = news.map((one) => ({ drawing: 1, ...one }) as Action);
  return [
    { type: 'opened', facts: FACTS } as Action,
    { type: 'ordered', order: ORDER } as Action,
    ...actions,
  ].reduce(reduce, START);
}

const started: DrawingNews = {
  type: 'started',
  words: ['a', 'cat'],
  plan: { seeds: 2, keep: { 1: 1 } },
  noise: pictures(7, 8),
};
const step = (number: number, ...seeds: number[]): DrawingNews => ({
  type: 'step',
  step: number,
  pictures: pictures(...seeds),
  maps: seeds.map(() => new Float32Array(2)),
});
const answered: DrawingNews = {
  type: 'answered',
  step: 1,
  seeds: [7, 8],
  results: [result('keep', 0.7), result('drop', 0.2)],
};
const finished: DrawingNews = { type: 'finished', pictures: pictures(7), qualities: [0.8] };
const completed: DrawingNews = { type: 'completed', pictures: pictures(8), qualities: [0.3] };

test('a drawing: noise, steps, a drop, the finished and the completed', () => {
  const { drawing } = after(started, step(1, 7, 8), answered, step(2, 7), finished, completed);
  assert.ok(drawing);
  const [kept, dropped] = drawing.candidates;
  assert.deepEqual(drawing.alive, [2, 1]);
  assert.deepEqual([kept?.step, kept?.droppedAt, kept?.quality], [2, undefined, 0.8]);
  assert.deepEqual([dropped?.step, dropped?.droppedAt, dropped?.quality], [1, 1, undefined]);
  assert.equal(dropped?.completed?.quality, 0.3);
  assert.deepEqual(
    kept?.answers.map((answer) => [answer.step, answer.result.score]),
    [[1, 0.7]],
  );
  assert.equal(drawing.phase, 'done');
});

test('some previews of a step show before it is over, and count as no step', () => {
  const { drawing } = after(started, { type: 'previewed', step: 1, pictures: pictures(8) });
  assert.deepEqual(
    drawing?.candidates.map((candidate) => candidate.step),
    [0, 1],
  );
  assert.deepEqual(drawing?.alive, []);
});

test('nothing was scored: nothing is dropped, and the reason is kept', () => {
  const { drawing } = after(
    started,
    step(1, 7, 8),
    { type: 'failed_open', reason: 'the service cannot be reached' },
    { ...answered, results: [] },
  );
  assert.ok(drawing?.candidates.every(({ droppedAt }) => droppedAt === undefined));
  assert.equal(drawing?.failedOpen, 'the service cannot be reached');
});

test('a new order keeps the pictures until its own come, and ignores what comes of the one before', () => {
  const next: Action = { type: 'ordered', order: { ...ORDER, drawing: 2 } };
  const { drawing } = after(started, step(1, 7, 8), next, step(2, 7, 8));
  assert.equal(drawing?.phase, 'waiting');
  assert.deepEqual(drawing?.alive, []);
  assert.equal(drawing?.candidates.length, 2);
  assert.equal(drawing?.candidates[0]?.step, 1);
});

test('the status says what happens, and that every image is kept when nothing was scored', () => {
  assert.match(statusOf(START).text, /^Loading/);
  assert.match(statusOf(after(started)).text, /^Loading/);
  const probe: Action = { type: 'probe', reference: 'pictogram@1', choices: [] };
  assert.equal(statusOf(after(started, probe, step(1, 7, 8))).text, 'Drawing, scored by pictogram@1');
  assert.match(statusOf(after(started, finished)).text, /^Finished;/);
  assert.equal(statusOf(after(started, finished, completed)).text, 'Finished');
  const open = statusOf(after(started, { type: 'failed_open', reason: 'late' }, finished, completed));
  assert.deepEqual([open.kind, open.text], ['open', 'No scores, so every image is kept: late']);
  assert.equal(statusOf(after({ type: 'refused', message: 'unknown word' })).kind, 'broken');
  assert.match(statusOf(reduce(START, { type: 'broken', message: 'no WebAssembly' })).text, /no WebAssembly/);
});
