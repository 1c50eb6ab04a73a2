/** `npm run generate` from end to end: the real reference world, a real service process, a real picture. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { PNG } from 'pngjs';

const GENERATE = new URL('../../src/demo/generate.js', import.meta.url).pathname;
const isTrained = existsSync('reference/reference.json') && existsSync('models/pictogram');
const skip = isTrained ? false : 'reference/ and models/pictogram are not trained yet';

async function generate(...argv: string[]): Promise<{ stdout: string; stderr: string }> {
  return promisify(execFile)(process.execPath, [GENERATE, '--url', 'http://127.0.0.1:9', ...argv]);
}

test('six of eight are dropped, two are finished, judged and drawn', { skip }, async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'generate-'));
  t.after(() => rm(folder, { recursive: true }));
  const out = path.join(folder, 'sheet.png');
  const { stdout, stderr } = await generate(
    'a cat on a blue background',
    '--seeds',
    '4',
    '--keep',
    '2',
    '--out',
    out,
  );
  assert.match(stderr, /starting one/);
  assert.match(stdout, /60 denoising steps instead of 100: 40 saved/);
  assert.equal(stdout.match(/ keep +top_k +[\d.]+$/gm)?.length, 2);
  assert.equal(stdout.match(/ drop +not_top_k +-$/gm)?.length, 2);
  assert.ok(PNG.sync.read(await readFile(out)).width > 0);
});

test('a word outside the vocabulary is a usage error before any work', { skip }, async () => {
  await assert.rejects(generate('a kat on a blue background'), (error: { code: number; stderr: string }) => {
    assert.equal(error.code, 2);
    assert.match(error.stderr, /unknown word "kat"/);
    assert.doesNotMatch(error.stderr, /starting one/);
    return true;
  });
});

test('a step that the probe does not know is refused by name', { skip }, async () => {
  await assert.rejects(
    generate('a cat on a blue background', '--step', '7'),
    (error: { code: number; stderr: string }) => {
      assert.equal(error.code, 2);
      assert.match(error.stderr, /--step 7: the probe knows steps 1, 3, 5/);
      return true;
    },
  );
});

test('help needs nothing', async () => {
  const { stdout } = await generate('--help');
  assert.match(stdout, /Usage: npm run generate/);
});
