/** Cutting a group into samples and joining them again keeps all values. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { bodyOf, bytesOf, cutSamples, firstTokens, tensorOf, usedTokens } from '../../bench/samples.js';
import { decodeSafetensors } from '../../src/wire/safetensors.js';
import { padded, randomSamples, scoreBody } from '../support/samples.js';

const SIZE = { layers: 3, height: 2, width: 2 };
const TOKENS = 4;

/** Three samples of four tokens, the last two of them padding. */
const group = randomSamples(SIZE, TOKENS - 2, 3, 9).map((sample) => padded(sample, 2, 0.25));
const body = scoreBody(group, { model: 'tiny', step: '5' }, 'F32');

test('each sample has its own values, and the metadata', () => {
  const samples = cutSamples(body);
  assert.equal(samples.length, group.length);
  for (const [index, sample] of samples.entries()) {
    const attention = tensorOf(sample, 'attention');
    assert.deepEqual(attention.shape, [1, SIZE.layers, TOKENS, SIZE.height, SIZE.width]);
    assert.deepEqual(floats(bytesOf(attention)), [...(group[index]?.attention ?? [])]);
    assert.deepEqual(tensorOf(sample, 'timestep').shape, [1]);
    assert.deepEqual(sample.metadata, { model: 'tiny', step: '5' });
  }
});

test('joined samples are the group', () => {
  const again = bodyOf(cutSamples(body));
  assert.deepEqual(decodeSafetensors(again.slice().buffer), decodeSafetensors(body.slice().buffer));
  assert.deepEqual(
    bodyOf(cutSamples(body).slice(1)),
    scoreBody(group.slice(1), { model: 'tiny', step: '5' }, 'F32'),
  );
});

test('the first tokens of every layer are kept, the others removed', () => {
  const [sample] = cutSamples(body);
  assert.ok(sample);
  assert.equal(usedTokens(sample), 2);
  const cut = firstTokens(sample, 2);
  const unpadded = randomSamples(SIZE, 2, 1, 9);
  assert.deepEqual(bodyOf([cut]), scoreBody(unpadded, { model: 'tiny', step: '5' }, 'F32'));
});

test('samples of different shapes cannot be joined', () => {
  const [sample, other] = cutSamples(body);
  assert.ok(sample && other);
  assert.throws(() => bodyOf([sample, firstTokens(other, 1)]), /differ in the shape of attention/);
  assert.throws(() => bodyOf([]), RangeError);
});

test('the example in this repository can be cut', () => {
  const samples = cutSamples(readFileSync('examples/group.safetensors'));
  assert.ok(samples.length > 0);
  assert.ok(samples.every((sample) => usedTokens(sample) > 0));
});

function floats(bytes: Uint8Array): number[] {
  return [...new Float32Array(bytes.slice().buffer)];
}
