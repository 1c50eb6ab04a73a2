/** The scores of test captions are read from the probe's folder, and a broken file is named. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test, type TestContext } from 'node:test';

import { readTestScores } from '../../demo/test-scores.js';
import { shippedProbe } from '../support/shipped-probe.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const GOOD = { captions: ['a cat'], steps: { 5: { scores: [[0.1, 0.2]] } }, quality: [[0.3, 0.4]] };

async function repositoryWith(t: TestContext, content: string): Promise<string> {
  const models = await temporaryFolder(t);
  await mkdir(path.join(models, 'probe', '3'), { recursive: true });
  await writeFile(path.join(models, 'probe', '3', 'test-scores.json'), content);
  return models;
}

test('those of the shipped probe', async () => {
  const { captions, quality, steps } = await readTestScores('models', shippedProbe('pictogram').reference);
  assert.ok(captions.length > 100);
  assert.equal(quality.length, captions.length);
  for (const { scores } of Object.values(steps)) assert.equal(scores.length, captions.length);
});

test('a probe without test scores is an error that says what writes them', async (t) => {
  const models = await repositoryWith(t, JSON.stringify(GOOD));
  assert.deepEqual(await readTestScores(models, 'probe@3'), GOOD);
  await assert.rejects(
    readTestScores(models, 'probe@4'),
    /probe.4.test-scores\.json .*diffusion-probe evaluate/,
  );
});

test('a file with other members, or with tables of different shapes, is named', async (t) => {
  for (const [content, message] of [
    ['{', /test-scores\.json: .*JSON/],
    ['{"captions": ["a cat"]}', /test-scores\.json: .*quality/s],
    [JSON.stringify({ ...GOOD, quality: [[0.3]] }), /captions, scores and quality must have the same shape/],
    [JSON.stringify({ ...GOOD, captions: ['a cat', 'a dog'] }), /must have the same shape/],
  ] as const)
    await assert.rejects(readTestScores(await repositoryWith(t, content), 'probe@3'), message);
});
