/** `npm run study:false-drop` as a process: its last line is JSON, and mistakes are told with their exit codes. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

const PROCESS = fileURLToPath(new URL('../../src/study/run.js', import.meta.url));
const SHIPPED = 'models/pictogram/1';
const FIELDS = [
  'alpha',
  'false_drop',
  'interval',
  'drop_rate',
  'steps_saved',
  'kept_quality',
  'random_kept_quality',
];

/** The shipped probe's manifest beside made-up scores. */
async function probeWithScores(t: TestContext, content: string): Promise<string> {
  const root = await mkdtemp(path.join(tmpdir(), 'study-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const folder = path.join(root, 'pictogram', '1');
  await mkdir(folder, { recursive: true });
  await copyFile(path.join(SHIPPED, 'probe.json'), path.join(folder, 'probe.json'));
  await writeFile(path.join(folder, 'test-scores.json'), content);
  return folder;
}

async function study(...argv: string[]) {
  const child = spawn(process.execPath, [PROCESS, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [output, errors] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    child.exitCode ?? once(child, 'exit'),
  ]);
  const rows = (): Record<string, unknown>[] =>
    JSON.parse(output.trimEnd().split('\n').at(-1) ?? '') as Record<string, unknown>[];
  return { output, errors, code: child.exitCode, rows };
}

const SCORES = JSON.stringify({
  captions: ['a', 'b'],
  good_at: 0.6,
  steps: { 5: { scores: [[0, 0.9], [0.95]] } },
  quality: [[0.1, 0.7], [0.8]],
});

test('the scores beside the probe make a table, and the last line is JSON', async (t) => {
  const probe = await probeWithScores(t, SCORES);
  const { output, code, rows } = await study('--probe', probe, '--alphas', '0.1,0.2');
  assert.equal(code, 0);
  assert.match(output, /^3 samples of 2 captions .* step 5 of 25; 66\.7% are good/);
  assert.deepEqual(
    rows().map((row) => Object.keys(row)),
    [FIELDS, FIELDS],
  );
  assert.deepEqual(
    rows().map(({ alpha, false_drop: lost, drop_rate: dropped }) => [alpha, lost, dropped]),
    [
      [0.1, 0, 0.3333],
      [0.2, 0, 0.3333],
    ],
  );
});

test('new samples are drawn, asked about by the real probe, finished and judged', async () => {
  const { output, errors, code, rows } = await study('--fresh', '2', '--alphas', '0.2');
  assert.equal(code, 0, errors);
  assert.match(output, /^2 samples of 1 caption /);
  assert.match(errors, /2 samples 100%, 0 s left/);
  const [row] = rows();
  assert.deepEqual(Object.keys(row ?? {}), FIELDS);
  const quality = Number(row?.['random_kept_quality']);
  assert.ok(quality > 0 && quality < 1, String(quality));
});

test('what cannot be done is told', async (t) => {
  const probe = await probeWithScores(t, SCORES);
  const wrongStep = await study('--probe', probe, '--step', '10');
  assert.deepEqual([wrongStep.code, wrongStep.output], [2, '']);
  assert.match(wrongStep.errors, /^--step 10: test-scores\.json holds the steps 5\n/);
  const noProbe = await study('--probe', 'nowhere');
  assert.equal(noProbe.code, 1);
  assert.match(noProbe.errors, /^nowhere.probe\.json cannot be read\n$/);
  const broken = await probeWithScores(t, '{}');
  assert.match((await study('--probe', broken)).errors, /test-scores\.json is not valid/);
  const help = await study('--help');
  assert.deepEqual([help.code, help.errors], [0, '']);
  assert.match(help.output, /^Compares .*\n\nUsage: /);
});
