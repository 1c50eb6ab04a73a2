/** Tests the files of examples/ on a real socket, with the shipped probe and the default policy. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { request } from 'undici';

import { decodeSafetensors } from '../../src/wire/safetensors.js';
import { startShippedApp } from '../support/app.js';

interface Answer {
  readonly outcome: string;
  readonly model: string;
  readonly results: readonly { readonly score: number; readonly decision: string; readonly reason: string }[];
}

async function post(origin: string, body: Uint8Array): Promise<Answer> {
  const response = await request(`${origin}/score`, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body,
  });
  assert.equal(response.statusCode, 200);
  return (await response.body.json()) as Answer;
}

test('examples/ holds a sample that is kept, one that is dropped, and a group with both', async (t) => {
  const { listen } = await startShippedApp(t);
  const origin = await listen();
  const decisions = async (name: string): Promise<string[]> => {
    const answer = await post(origin, await readFile(`examples/${name}.safetensors`));
    assert.deepEqual([answer.outcome, answer.model], ['scored', 'pictogram']);
    return answer.results.map(({ decision }) => decision);
  };
  assert.deepEqual(await decisions('kept'), ['keep']);
  assert.deepEqual(await decisions('dropped'), ['drop']);
  const group = await decisions('group');
  assert.equal(group.length, 8);
  assert.deepEqual(new Set(group), new Set(['keep', 'drop']));
});

test('a file of the Python library is scored as PyTorch scored it', async (t) => {
  const { listen } = await startShippedApp(t);
  const folder = 'models/pictogram/2';
  const manifest = JSON.parse(await readFile(`${folder}/probe.json`, 'utf8')) as {
    selftest: { input: string; scores: number[] };
  };
  const bytes = await readFile(`${folder}/${manifest.selftest.input}`);
  assert.equal(decodeSafetensors(new Uint8Array(bytes).buffer).metadata.get('model'), 'pictogram@2');
  const { results } = await post(await listen(), bytes);
  for (const [index, expected] of manifest.selftest.scores.entries()) {
    assert.ok(Math.abs((results[index]?.score ?? NaN) - expected) < 1e-4);
  }
});
