/** Owns the proof that the queue keeps its order, its bounds and its books, whatever happens to it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { Backlog } from '../../src/engine/backlog.js';
import type { LoadedProbe } from '../../src/engine/catalogue.js';
import { ScoreRequest } from '../../src/engine/score-request.js';
import { tinyInputs } from '../support/onnx.js';
import { TINY_SIZE, tinyManifest } from '../support/probe-folder.js';
import { decodedBody } from '../support/samples.js';

const manifest = tinyManifest('tiny', 1, TINY_SIZE, tinyInputs(2, 4, 4), []);
const [one, two] = [1, 2].map((key): LoadedProbe => {
  return { key, name: `probe-${key}`, version: 1, provider: 'cpu', sha256: '', manifest };
});

function requestOf(samples: number, probe = one): ScoreRequest {
  assert.ok(probe);
  const timestep = { dtype: 'F32', shape: [samples], data: new Float32Array(samples) } as const;
  return new ScoreRequest(probe, decodedBody({ timestep }));
}

const NO_LIMITS = { maxQueueSamples: Infinity, maxQueueBytes: Infinity };

function samplesOf(backlog: Backlog, maxSamples: number): number[] {
  return backlog.take(maxSamples)?.parts.map(({ part }) => part.samples) ?? [];
}

test('whole requests are taken as long as they fit, in order', () => {
  const backlog = new Backlog(NO_LIMITS);
  for (const samples of [2, 3, 4, 1]) backlog.add(requestOf(samples));
  assert.deepEqual(samplesOf(backlog, 8), [2, 3]);
  assert.deepEqual(samplesOf(backlog, 8), [4, 1]);
  assert.deepEqual(samplesOf(backlog, 8), []);
});

test('only a request larger than a batch is cut, and its rest shares a batch', () => {
  const backlog = new Backlog(NO_LIMITS);
  for (const samples of [1, 10, 2]) backlog.add(requestOf(samples));
  assert.deepEqual(samplesOf(backlog, 4), [1]);
  assert.deepEqual(samplesOf(backlog, 4), [4]);
  assert.equal(backlog.depth().samples, 8);
  assert.deepEqual(samplesOf(backlog, 4), [4]);
  assert.deepEqual(samplesOf(backlog, 4), [2, 2]);
  assert.deepEqual(backlog.depth(), { samples: 0, bytes: 0 });
});

test('the probe whose first request has waited longest is next', () => {
  const backlog = new Backlog(NO_LIMITS);
  const late = requestOf(1, one);
  while (performance.now() <= late.arrivedAt);
  backlog.add(requestOf(1, two));
  backlog.add(late);
  assert.equal(backlog.take(8)?.probe, one);
  assert.equal(backlog.take(8)?.probe, two);
});

test('a request that leaves halfway takes what is left of it along', () => {
  const backlog = new Backlog(NO_LIMITS);
  const large = requestOf(10);
  backlog.add(large);
  backlog.add(requestOf(1));
  backlog.take(4);
  backlog.remove(large);
  backlog.remove(large);
  assert.equal(backlog.depth().samples, 1);
  assert.deepEqual(samplesOf(backlog, 4), [1]);
});

test('over any life, the books agree with what is inside and nothing is lost', () => {
  const event = fc.oneof(
    fc.record({
      kind: fc.constant('add' as const),
      samples: fc.integer({ min: 1, max: 12 }),
      probe: fc.boolean(),
    }),
    fc.record({ kind: fc.constant('take' as const), limit: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ kind: fc.constant('remove' as const), index: fc.nat(20) }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const backlog = new Backlog({ maxQueueSamples: 30, maxQueueBytes: 2000 });
      let inside: ScoreRequest[] = [];
      for (const step of events) {
        if (step.kind === 'add') {
          const request = requestOf(step.samples, step.probe ? one : two);
          try {
            backlog.add(request);
            inside.push(request);
            assert.ok(
              inside.length === 1 || (backlog.depth().samples <= 30 && backlog.depth().bytes <= 2000),
            );
          } catch {
            assert.ok(inside.length > 0, 'an empty queue is never full');
          }
        } else if (step.kind === 'take') {
          const batch = backlog.take(step.limit);
          assert.equal(batch === undefined, inside.length === 0);
          assert.ok((batch?.samples ?? 0) <= step.limit);
        } else {
          const gone = inside[step.index];
          if (gone) backlog.remove(gone);
          inside = inside.filter((request) => request !== gone);
        }
        inside = inside.filter((request) => request.waiting > 0);
        assert.deepEqual(backlog.depth(), {
          samples: inside.reduce((sum, request) => sum + request.waiting, 0),
          bytes: inside.reduce((sum, request) => sum + request.bytes, 0),
        });
      }
      assert.deepEqual(new Set(backlog.clear()), new Set(inside));
      assert.deepEqual(backlog.depth(), { samples: 0, bytes: 0 });
    }),
  );
});
