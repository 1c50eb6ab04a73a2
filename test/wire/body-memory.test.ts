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
