/** Tests which leaves of two conditions documents differ. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { differences, isConditions } from '../../src/probe/conditions.js';

const PROBE = {
  scheduler: { class: 'Euler', shift: 3, inner: { a: 1 } },
  timesteps: [1000, 500],
  dtype: 'float16',
  adapters: [{ name: 'a', scale: 1 }],
  free_u: null,
};

const paths = (request: Record<string, unknown>) => differences(PROBE, request).map(({ path }) => path);

test('equal documents have no differences, in whatever order their members stand', () => {
  assert.deepEqual(paths(Object.fromEntries(Object.entries(structuredClone(PROBE)).toReversed())), []);
});

test('each leaf that differs is listed by its path, sorted', () => {
  const scheduler = { class: 'Euler', shift: 4, inner: { a: 2 } };
  assert.deepEqual(paths({ ...PROBE, dtype: 'float32', scheduler }), [
    'dtype',
    'scheduler.inner.a',
    'scheduler.shift',
  ]);
});

test('lists are compared as a whole', () => {
  assert.deepEqual(paths({ ...PROBE, timesteps: [1000, 400] }), ['timesteps']);
  assert.deepEqual(paths({ ...PROBE, adapters: [{ name: 'a', scale: 2 }] }), ['adapters']);
  assert.deepEqual(paths({ ...PROBE, adapters: [{ scale: 1, name: 'a' }] }), []);
});

test('a member that one side lacks is a difference, except a top-level one that the probe lacks', () => {
  const { dtype: _dtype, ...rest } = PROBE;
  assert.deepEqual(paths(rest), ['dtype']);
  assert.deepEqual(paths({ ...PROBE, scheduler: { class: 'Euler', inner: { a: 1 }, b: 1 } }), [
    'scheduler.b',
    'scheduler.shift',
  ]);
  assert.deepEqual(paths({ ...PROBE, weights: { unet: '0' } }), []);
  assert.deepEqual(paths({ ...PROBE, free_u: { s1: 1 } }), ['free_u']);
  assert.deepEqual(paths({ ...PROBE, scheduler: null }), ['scheduler']);
});

test('names of properties that every object has are ordinary members', () => {
  const text = '{"scheduler": {"__proto__": 1, "constructor": 2}}';
  const found = differences({ scheduler: {} }, JSON.parse(text) as Record<string, unknown>);
  assert.deepEqual(
    found.map(({ path }) => path),
    ['scheduler.__proto__', 'scheduler.constructor'],
  );
  assert.equal(differences({ constructor: 1 }, {}).length, 1);
});

test('only objects that are not nested deeply are conditions', () => {
  assert.ok(isConditions({}) && isConditions(PROBE));
  for (const value of [
    null,
    [],
    'text',
    1,
    { a: JSON.parse('['.repeat(5000) + ']'.repeat(5000)) as unknown },
  ])
    assert.ok(!isConditions(value));
});
