/** The prepared requests are valid for each kind of server. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { prepareRequests } from '../../../bench/load/requests.js';
import { cutSamples } from '../../../bench/samples.js';
import { decodeInference } from '../../../src/wire/inference-protocol.js';
import { decodeSafetensors } from '../../../src/wire/safetensors.js';
import { padded, randomSamples, scoreBody } from '../../support/samples.js';

const SIZE = { layers: 2, height: 2, width: 2 };
const url = 'http://127.0.0.1:1234';

/** Three samples of two tokens and one of padding. */
const samples = randomSamples(SIZE, 2, 3).map((sample) => padded(sample, 1, 0.5));
const example = scoreBody(samples, { model: 'tiny' });

test('the service gets the samples in turn, with their padding', () => {
  const next = prepareRequests(example, 'single', { kind: 'service', url });
  const sent = Array.from({ length: 4 }, () => next());
  assert.deepEqual(sent[3], sent[0]);
  for (const [index, { head, body }] of sent.slice(0, 3).entries()) {
    assert.match(
      head,
      new RegExp(
        `^POST /score HTTP/1.1\r\nhost: 127.0.0.1:1234\r\n.*content-length: ${body.length}\r\n\r\n$`,
        's',
      ),
    );
    assert.deepEqual(body, scoreBody(samples.slice(index, index + 1), { model: 'tiny' }));
  }
});

test('by the Open Inference Protocol the service gets the same tensors', () => {
  const { head, body } = prepareRequests(example, 'group', { kind: 'protocol', url })();
  const [, jsonBytes] =
    /^POST \/v2\/models\/tiny\/infer .*inference-header-content-length: (\d+)\r\n\r\n$/s.exec(head) ?? [];
  const { tensors, metadata } = decodeInference(Uint8Array.from(body).buffer, Number(jsonBytes), Infinity);
  assert.deepEqual(tensors.get('attention')?.shape, [8, 2, 3, 2, 2]);
  assert.equal(metadata.size, 0);
});

test('a group has eight samples, whatever the number in the example', () => {
  const { body } = prepareRequests(example, 'group', { kind: 'service', url })();
  const group = cutSamples(body);
  assert.equal(group.length, 8);
  assert.deepEqual(group[3], group[0]);
  assert.notDeepEqual(group[1], group[0]);
});

test('the load one_token has samples of one token', () => {
  const { body } = prepareRequests(example, 'one_token', { kind: 'service', url })();
  const { tensors } = decodeSafetensors(body.slice().buffer);
  assert.deepEqual(tensors.get('attention')?.shape, [1, 2, 1, 2, 2]);
  assert.deepEqual(tensors.get('token_mask')?.shape, [1, 1]);
});

test('the peer gets the attention of the real tokens, and its shape in the query', () => {
  const { head, body } = prepareRequests(example, 'single', { kind: 'peer', url })();
  assert.match(head, /^POST \/score\?samples=1&tokens=2&timestep=778\.7\d* HTTP\/1\.1\r\n/);
  const unpadded = scoreBody(randomSamples(SIZE, 2, 1));
  const { byteOffset = 0, byteLength = 0 } =
    decodeSafetensors(unpadded.slice().buffer).tensors.get('attention') ?? {};
  assert.deepEqual(Buffer.from(body), Buffer.from(unpadded.slice(byteOffset, byteOffset + byteLength)));
});

test('the service gets a share of the deadline, and never a negative one', () => {
  const next = prepareRequests(example, 'single', { kind: 'service', url });
  assert.match(next(50).head, /\r\nx-deadline-ms: 47\.500\r\n\r\n$/);
  assert.match(next(-3).head, /\r\nx-deadline-ms: 0\.000\r\n\r\n$/);
});

test('further headers are sent with each request', () => {
  const next = prepareRequests(example, 'single', { kind: 'service', url }, { authorization: 'Bearer x' });
  assert.match(next().head, /\r\nauthorization: Bearer x\r\n\r\n$/);
  assert.match(next(50).head, /\r\nauthorization: Bearer x\r\nx-deadline-ms: 47\.500\r\n\r\n$/);
});
