/** The request bodies of the scaling measurement are valid for the shipped probe, at any number of tokens. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { cutSamples, usedTokens } from '../../../bench/samples.js';
import { makeExample } from '../../../bench/scaling/measure.js';
import type { ExampleContract } from '../../../bench/start.js';
import { startShippedApp } from '../../support/app.js';

test('groups of 1, 24 and 77 tokens are scored', async (t) => {
  const { app } = await startShippedApp(t);
  const contract = JSON.parse(readFileSync('models/pictogram/2/probe.json', 'utf8')) as ExampleContract;
  for (const tokens of [1, 24, 77]) {
    const body = makeExample(contract, tokens);
    assert.deepEqual(new Set(cutSamples(body).map(usedTokens)), new Set([tokens]));
    const answer = await app.inject({
      method: 'POST',
      url: '/score',
      headers: { 'content-type': 'application/octet-stream' },
      payload: Buffer.from(body),
    });
    assert.equal(answer.statusCode, 200, answer.body);
    assert.equal(answer.json<{ results: unknown[] }>().results.length, 8);
  }
});
