/** Tests that the memory of bodies is reused, and that no more of it is kept than the limit. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BodyMemory, sharedCopy } from '../../src/wire/body-memory.js';

test('memory that was given back is reused for a body of the same length', () => {
  const memory = new BodyMemory(100);
  const first = memory.take(10);
  assert.equal(first.byteLength, 10);
  assert.notEqual(memory.take(10), first);
  memory.give(first);
  assert.notEqual(memory.take(11), first);
  assert.equal(memory.take(10), first);
  assert.notEqual(memory.take(10), first);
});

test('beyond its limit it frees the lengths that were used least recently', () => {
  const memory = new BodyMemory(100);
  const [old, recent] = [memory.take(60), memory.take(30)];
  memory.give(old);
  memory.give(recent);
  const large = memory.take(70);
  memory.give(large);
  assert.equal(memory.take(70), large);
  assert.equal(memory.take(30), recent);
  assert.notEqual(memory.take(60), old);
});

test('the memory of a body larger than the limit is not kept', () => {
  const memory = new BodyMemory(100);
  const huge = memory.take(101);
  memory.give(huge);
  assert.notEqual(memory.take(101), huge);
});

test('a shared copy holds the same bytes', () => {
  assert.deepEqual(Buffer.from(sharedCopy(Buffer.from('abc'))), Buffer.from('abc'));
});

test('much fresh memory is collected at once, less of it when few bodies come', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let collections = 0;
  const memory = new BodyMemory(2 ** 30, () => (collections += 1));
  const block = 32 * 1024 * 1024;
  for (let body = 0; body < 9; body += 1) memory.take(block);
  assert.equal(collections, 1);
  for (let body = 0; body < 6; body += 1) memory.take(block);
  t.mock.timers.tick(1000);
  assert.equal(collections, 1, 'the bodies of the last second were many');
  t.mock.timers.tick(1000);
  assert.equal(collections, 2);
  for (let second = 0; second < 10; second += 1) {
    memory.give(memory.take(1000));
    t.mock.timers.tick(1000);
  }
  assert.equal(collections, 2, 'nothing more is to be collected');
});

test('when few bodies come, little free memory is kept', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const memory = new BodyMemory(2 ** 30, () => {});
  const bodies = Array.from({ length: 10 }, () => memory.take(4_000_000));
  for (const body of bodies) memory.give(body);
  t.mock.timers.tick(2000);
  const kept = Array.from({ length: 10 }, () => memory.take(4_000_000)).filter((body) =>
    bodies.includes(body),
  );
  assert.equal(kept.length, 2);
});
