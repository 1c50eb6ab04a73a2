/** `npm run generate` from end to end, with the real reference world and a real service process. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, after, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import type { Selection } from '../../demo/selection.js';
import type { Manifest } from '../../src/probe/manifest.js';
import { type Png, readPng } from '../support/png.js';

const GENERATE = fileURLToPath(new URL('../../demo/generate.js', import.meta.url));
/** The port of the discard protocol, where nothing listens. */
const NOWHERE = 'http://127.0.0.1:9';
const CAPTION = 'a cat on a blue background';

const EXPECTED = {
  quality: { value: 0.7, low: 0.6, high: 0.8 },
  best_of_k: { value: 0.5, low: 0.4, high: 0.6 },
  gain: { value: 0.2, low: 0.1, high: 0.3 },
  gap_closed: { value: null, low: null, high: null },
  best_of_k_gap_closed: { value: null, low: null, high: null },
};
const PLANS: Manifest['plans'] = [
  { budget: 1.5, seeds: 4, keep: { 1: 3, 3: 1 }, calls: 32, pick: 1, final: 'metric', expected: EXPECTED },
  { budget: 2, seeds: 2, keep: {}, calls: 50, pick: 1, final: 'metric', expected: EXPECTED },
];

interface Failure {
  readonly code: number;
  readonly stderr: string;
}

let folder = '';
let out = '';
/** A model repository with the shipped probe, which has a plan for the budget 1.5 there and best-of-k for 2. */
let models = '';

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'generate-'));
  out = path.join(folder, 'new', 'folder');
  models = path.join(folder, 'models');
  await cp('models/pictogram', path.join(models, 'pictogram'), { recursive: true });
  const manifest = path.join(models, 'pictogram', '2', 'probe.json');
  const probe = JSON.parse(await readFile(manifest, 'utf8')) as Manifest;
  await writeFile(manifest, JSON.stringify({ ...probe, plans: PLANS }));
});

after(() => rm(folder, { recursive: true }));

function generate(argv: string[], environment: NodeJS.ProcessEnv = {}) {
  const options = { env: { ...process.env, ...environment } };
  return promisify(execFile)(process.execPath, [GENERATE, '--out', out, '--url', NOWHERE, ...argv], options);
}

async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function selection(): Promise<Selection> {
  return JSON.parse(await readFile(path.join(out, 'selection.json'), 'utf8')) as Selection;
}

async function picture(name: string): Promise<Png> {
  return readPng(await readFile(path.join(out, name)));
}

async function assertEverythingKept(stdout: string): Promise<void> {
  assert.match(stdout, /50 denoiser calls instead of 50 for best-of-2: 0 saved \(0%\), 2 of 2 kept/);
  assert.equal(stdout.match(/^\d +- +- +[\d.]+ +[12]$/gm)?.length, 2);
  const { stages } = await selection();
  assert.deepEqual(
    stages.map(({ step, alive, kept, outcome, calls }) => ({ step, alive, kept, outcome, calls })),
    [{ step: 5, alive: 2, kept: 2, outcome: 'failed_open', calls: 10 }],
  );
}

test('half of four are dropped, the others are finished, rated and drawn', async () => {
  const { stdout, stderr } = await generate([CAPTION, '--seeds', '4', '--keep', '2']);
  assert.match(stderr, /starting one/);
  assert.match(stderr, /^start 4, keep 2 after step 5, finish 2$/m);
  assert.match(stdout, /60 denoiser calls instead of 100 for best-of-4: 40 saved \(40%\), 2 of 4 kept/);
  assert.equal(stdout.match(/^\d +[\d.]+ +- +[\d.]+ +[12]$/gm)?.length, 2);
  assert.equal(stdout.match(/^\d +[\d.]+ +step 5 +- +-$/gm)?.length, 2);
  assert.ok((await picture('sheet.png')).width > 0);
});

test('with --budget the plan of the probe is drawn, ranked and written down', async () => {
  const { stdout, stderr } = await generate([CAPTION, '--budget', '1.5'], { MODELS_DIR: models });
  assert.match(
    stderr,
    /^start 4, keep 3 after step 1, keep 1 after step 3, finish 1; expected quality 0\.700, of best-of-k 0\.500$/m,
  );
  assert.match(stdout, /32 denoiser calls instead of 100 for best-of-4: 68 saved \(68%\), 1 of 4 kept/);
  const { samples, stages, seconds, ...rest } = await selection();
  assert.deepEqual(rest, {
    prompt: CAPTION,
    pipeline: 'pictogram',
    budget: 1.5,
    plan: { seeds: 4, keep: { 1: 3, 3: 1 } },
    calls: 32,
    best_of_k: { k: 4, calls: 100 },
    ranked_by: 'metric',
  });
  assert.deepEqual(
    stages.map(({ step, alive, kept, outcome, calls }) => ({ step, alive, kept, outcome, calls })),
    [
      { step: 1, alive: 4, kept: 3, outcome: 'scored', calls: 4 },
      { step: 3, alive: 3, kept: 1, outcome: 'scored', calls: 10 },
    ],
  );
  const spent = [0, ...stages.map((stage) => stage.seconds), seconds];
  assert.deepEqual(
    spent,
    spent.toSorted((left, right) => left - right),
  );
  assert.deepEqual(
    samples.map(({ seed }) => seed),
    [0, 1, 2, 3],
  );
  // Whom a stage drops scored lower than all that it kept.
  for (const { step } of stages) {
    const asked = samples.filter(({ scores }) => String(step) in scores);
    const scoresOf = (isDropped: boolean): number[] =>
      asked
        .filter((sample) => (sample.dropped_at === step) === isDropped)
        .map(({ scores }) => scores[step] ?? NaN);
    assert.ok(Math.max(...scoresOf(true)) <= Math.min(...scoresOf(false)), `step ${step}`);
  }
  const finished = samples.filter((sample) => sample.dropped_at === null);
  assert.equal(finished.length, 1);
  for (const { seed, quality, rank, image } of finished) {
    assert.ok(quality !== null && quality >= 0 && quality <= 1);
    assert.deepEqual([rank, image], [1, `rank-1-seed-${seed}.png`]);
    assert.equal((await picture(`rank-1-seed-${seed}.png`)).width, 64);
  }
});

test('a budget whose plan is best-of-k asks nobody and ranks by quality', async () => {
  const { stdout } = await generate([CAPTION, '--budget', '2'], { MODELS_DIR: models });
  assert.match(stdout, /50 denoiser calls instead of 50 for best-of-2/);
  const { samples, stages } = await selection();
  assert.deepEqual(stages, []);
  const qualities = samples.toSorted((left, right) => (left.rank ?? 0) - (right.rank ?? 0));
  assert.deepEqual(
    qualities.map(({ rank }) => rank),
    [1, 2],
  );
  assert.ok((qualities[0]?.quality ?? 0) >= (qualities[1]?.quality ?? 1));
});

test('a budget without a plan is an error that says which there are', async () => {
  const drawing = generate([CAPTION, '--budget', '3'], { MODELS_DIR: models });
  await assert.rejects(drawing, ({ code, stderr }: Failure) => {
    assert.equal(code, 2);
    assert.match(
      stderr,
      /--budget 3: the probe pictogram@2 has plans for the budgets 1\.5, 2 \(npm run generate -- --help/,
    );
    return true;
  });
});

test('a budget without a service is spent on whole images', async () => {
  const { stdout, stderr } = await generate([CAPTION, '--budget', '2.5'], { WORKERS: 'many' });
  assert.match(stderr, /no scores, so everything is kept: the service did not start/);
  assert.match(stdout, /50 denoiser calls instead of 50 for best-of-2: 0 saved \(0%\), 2 of 2 kept/);
});

test('with --all the dropped images are finished too, and the best is named', async () => {
  const { stdout } = await generate([
    CAPTION,
    '--seeds',
    '3',
    '--keep',
    '1=2,3=1',
    '--all',
    '--seed-base',
    '7',
  ]);
  for (const seed of [7, 8, 9]) assert.match(stdout, new RegExp(`^${seed} .* [\\d.]+ +[-1]$`, 'm'));
  assert.match(stdout, /the best of all, seed [789], was (kept|dropped at step [13])/);
  assert.match(stdout, /29 denoiser calls instead of 75 for best-of-3/, 'the same as without --all');
  const { samples } = await selection();
  for (const { seed, rank, image } of samples)
    assert.equal(image, `${rank === null ? 'dropped' : `rank-${rank}`}-seed-${seed}.png`);
});

test('a service that does not start costs no image', async () => {
  const { stdout, stderr } = await generate([CAPTION, '--seeds', '2', '--keep', '1'], { WORKERS: 'many' });
  assert.match(stderr, /WORKERS: got "many"/);
  assert.match(stderr, /no scores, so everything is kept: the service did not start/);
  await assertEverythingKept(stdout);
});

test('a service without a probe for the backbone costs no image', async () => {
  const empty = path.join(folder, 'empty');
  await mkdir(empty);
  const { stdout, stderr } = await generate([CAPTION, '--seeds', '2', '--keep', '1'], { MODELS_DIR: empty });
  assert.match(stderr, /everything is kept: the service at .* has no probe for pictogram; it serves: none/);
  await assertEverythingKept(stdout);
});

test('a service that fails after it was found costs no image', async (t) => {
  const { backbone, inputs, decision_points, capture, capture_id } = JSON.parse(
    await readFile('models/pictogram/2/probe.json', 'utf8'),
  ) as Record<string, unknown>;
  const contract = { backbone, inputs, decision_points, capture, capture_id };
  const served = [{ name: 'pictogram', version: 1, state: 'serving', contract }];
  const url = await serve(t, (request, response) => {
    if (request.url === '/score') response.writeHead(500);
    response.end(JSON.stringify({ models: served }));
  });
  const { stdout, stderr } = await generate([CAPTION, '--seeds', '2', '--keep', '1', '--url', url]);
  assert.match(stderr, /everything is kept: refused: the service answered with status 500/);
  await assertEverythingKept(stdout);
});

test('a signal ends the run, and the service that was started for it', async () => {
  const child = spawn(process.execPath, [GENERATE, CAPTION, '--seeds', '16', '--url', NOWHERE, '--out', out]);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (!stderr.includes('step 1 ') && `${stderr}${text}`.includes('step 1 ')) child.kill('SIGTERM');
    stderr += text;
  });
  // 'close' comes when the service has ended too, because it has the same pipe.
  const [code] = (await once(child, 'close')) as [number];
  assert.equal(code, 130);
  assert.match(stderr, /interrupted\n$/);
  assert.doesNotMatch(stderr, /step 25/);
});

test('a closed output ends the run, and the service that was started for it', async () => {
  const child = spawn(process.execPath, [GENERATE, CAPTION, '--seeds', '16', '--url', NOWHERE, '--out', out]);
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    // As `2>&1 | head` does: the next line of the progress cannot be written.
    if (text.includes('starting one')) for (const output of [child.stdout, child.stderr]) output.destroy();
  });
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(code, 130, 'it has stopped what it had started');
});

test('a word outside the vocabulary is an error before a service is started', async () => {
  await assert.rejects(generate(['a kat on a blue background']), ({ code, stderr }: Failure) => {
    assert.equal(code, 2);
    assert.match(stderr, /unknown word "kat"/);
    assert.doesNotMatch(stderr, /starting one/);
    return true;
  });
});

test('a step at which the probe cannot score is an error', async () => {
  await assert.rejects(generate([CAPTION, '--keep', '7=2']), ({ code, stderr }: Failure) => {
    assert.equal(code, 2);
    assert.match(stderr, /step 7: the probe pictogram@2 knows steps 1, 3, 5/);
    return true;
  });
});

test('an unknown probe is an error with its name', async () => {
  await assert.rejects(generate([CAPTION, '--model', 'pictogran']), ({ code, stderr }: Failure) => {
    assert.equal(code, 2);
    assert.match(stderr, /there is no probe pictogran at .*; it serves: pictogram@2/);
    return true;
  });
});

test('--help needs no files', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [GENERATE, '--help'], { cwd: folder });
  assert.match(stdout, /Usage: npm run generate/);
});
