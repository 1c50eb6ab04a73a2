/** Tests that probe.json is read strictly, and that each refusal names the field at fault. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fingerprintOf } from '../../src/probe/fingerprint.js';
import { parseManifest } from '../../src/probe/folder.js';
import { type Manifest } from '../../src/probe/manifest.js';
import { ProbeRefusedError } from '../../src/probe/refused.js';
import { tinyInputs } from '../support/onnx.js';
import { asSchema1, TINY_SIZE, tinyManifest } from '../support/probe-folder.js';
import { PLANS } from '../support/policies.js';
import { randomSamples } from '../support/samples.js';

type Curve = NonNullable<Manifest['calibration'][number]['false_drop']>;

function validManifest(): Manifest {
  const { layers, height, width } = TINY_SIZE;
  const samples = randomSamples(TINY_SIZE, 3, 2);
  const manifest = tinyManifest('tiny', 1, TINY_SIZE, tinyInputs(layers, height, width), samples);
  manifest.plans = structuredClone([...PLANS]);
  manifest.files = { 'model.onnx': 'a'.repeat(64), 'selftest.safetensors': 'b'.repeat(64) };
  return manifest;
}

function firstCalibration(manifest: Manifest): Manifest['calibration'][number] {
  const [point] = manifest.calibration;
  assert.ok(point);
  return point;
}

function curve(changes: Partial<Curve>): Curve {
  return { captions: 9, score: [0, 1], rate: [0, 0.1], error: [0, 0.1], ...changes };
}

function firstPlan(manifest: Manifest): Manifest['plans'][number] {
  const [plan] = manifest.plans;
  assert.ok(plan);
  return plan;
}

function inputNamed(manifest: Manifest, name: string): Manifest['inputs'][number] {
  const input = manifest.inputs.find((candidate) => candidate.name === name);
  assert.ok(input);
  return input;
}

test('a valid manifest is read unchanged', () => {
  const manifest = validManifest();
  assert.deepEqual(parseManifest(JSON.stringify(manifest)), manifest);
});

test('a capture may have further members, and all of them are hashed', () => {
  const manifest = validManifest();
  Object.assign(manifest.capture, { lora: 'none' });
  assert.throws(() => parseManifest(JSON.stringify(manifest)), /capture_id: .* is not the hash of capture/);
  manifest.capture_id = fingerprintOf(manifest.capture);
  assert.equal(parseManifest(JSON.stringify(manifest)).capture['lora'], 'none');
});

test('a manifest of schema_version 1 is read, and gets the members of schema_version 2', () => {
  const { calibration } = validManifest();
  const old = asSchema1(validManifest());
  assert.deepEqual(parseManifest(JSON.stringify(old)), {
    ...old,
    calibration,
    conditions: null,
    conditions_id: null,
    total_steps: 25,
    trajectories: null,
    plans: [],
  });
  const wrong = { ...old, capture: { ...(old['capture'] as object), guidance: 4 } };
  assert.throws(() => parseManifest(JSON.stringify(wrong)), /capture_id: .* is not the hash of capture/);
});

test('text that is not JSON is refused', () => {
  assert.throws(() => parseManifest('{"name": '), {
    name: 'ProbeRefusedError',
    message: /^probe\.json is not JSON: /,
  });
});

test('many mistakes are reported at once, up to a limit', () => {
  assert.throws(() => parseManifest('{}'), /schema_version: .*; name: .*; and \d+ more$/);
});

const MISTAKES: readonly [string, (manifest: Manifest) => void, RegExp][] = [
  ['schema_version', (m) => Object.assign(m, { schema_version: 3 }), /schema_version: must be 1 or 2, not 3/],
  ['name', (m) => (m.name = '../up'), /name: must be lower-case .*, not "\.\.\/up"/],
  ['version', (m) => (m.version = 0), /version: .*, not 0/],
  ['hash', (m) => (m.files['model.onnx'] = 'ABC'), /files\.model\.onnx: must be 64 lower-case hex digits/],
  ['path', (m) => (m.files['../secret'] = 'a'.repeat(64)), /files/],
  ['selftest path', (m) => (m.selftest.input = '/etc/passwd'), /selftest\.input: must be a plain file name/],
  ['missing hash', (m) => delete m.files['model.onnx'], /files: the hash of model\.onnx is missing/],
  ['capture_id', (m) => (m.capture_id = '0'.repeat(16)), /capture_id: "0{16}" is not the hash of capture/],
  [
    'conditions_id',
    (m) => (m.conditions_id = null),
    /conditions_id: null is not the hash of conditions, "[0-9a-f]{16}"/,
  ],
  [
    'conditions',
    (m) => (m.conditions = null),
    /conditions_id: "[0-9a-f]{16}" is not the hash of conditions, null/,
  ],
  ['trajectories', (m) => (m.trajectories = 'runs.json'), /files: the hash of runs\.json is missing/],
  ['plan twice', (m) => m.plans.push(...m.plans), /plans: the budget 2 is listed twice/],
  ['plan at a step', (m) => (firstPlan(m).keep = { 6: 2 }), /budget 2: step 6 is not a decision point/],
  ['plan that grows', (m) => (firstPlan(m).keep = { 5: 6 }), /budget 2: keep\.5 must be at most 5/],
  ['plan that picks', (m) => (firstPlan(m).pick = 3), /budget 2: fewer than 3 images are finished/],
  ['plan of unknown form', (m) => Object.assign(firstPlan(m), { final: 'best' }), /plans\.0\.final: /],
  [
    'scores of false drops',
    (m) => (firstCalibration(m).false_drop = curve({ score: [1, 0] })),
    /false_drop\.score is not asc/,
  ],
  [
    'rates',
    (m) => (firstCalibration(m).false_drop = curve({ rate: [0.1, 0] })),
    /false_drop\.rate is not ascending/,
  ],
  [
    'errors',
    (m) => (firstCalibration(m).false_drop = curve({ error: [0] })),
    /2 scores but 2 rates and 1 errors/,
  ],
  ['no scores', (m) => (firstCalibration(m).false_drop = curve({ score: [] })), /false_drop\.score: /],
  ['total_steps', (m) => (m.total_steps = 4), /step 5 lies beyond the 4 steps of a run/],
  ['range', (m) => (m.metric.range = [1, 1]), /metric\.range: 1 is not below 1/],
  ['good_at', (m) => (m.metric.good_at = 3), /metric\.good_at: 3 lies outside the range 0 to 2/],
  ['no attention', (m) => m.inputs.shift(), /inputs: "attention" is missing/],
  ['no mask', (m) => m.inputs.splice(1, 1), /inputs: "token_mask" is missing/],
  ['no timestep', (m) => m.inputs.pop(), /inputs: "timestep" is missing/],
  [
    'twice',
    (m) => m.inputs.push({ name: 'timestep', dtype: 'F32', shape: ['batch'] }),
    /"timestep" is listed twice/,
  ],
  [
    'layers',
    (m) => (inputNamed(m, 'attention').shape[1] = 9),
    /attention\.shape: must be \[batch, 2, tokens, 4, 4\], not \[batch, 9,/,
  ],
  [
    'mask dtype',
    (m) => (inputNamed(m, 'token_mask').dtype = 'F32'),
    /token_mask\.dtype: must be U8, not F32/,
  ],
  [
    'batch axis',
    (m) => m.inputs.push({ name: 'x', dtype: 'F32', shape: [3, 'batch'] }),
    /x\.shape: "batch" must be the first/,
  ],
  [
    'tokens axis',
    (m) => m.inputs.push({ name: 'x', dtype: 'F32', shape: ['batch', 'tokens', 'tokens'] }),
    /x\.shape: "tokens" may/,
  ],
  [
    'step twice',
    (m) => m.decision_points.push({ step: 5, timestep: 1, tolerance: 0 }),
    /step 5 is listed twice/,
  ],
  [
    'late step',
    (m) => m.decision_points.push({ step: 26, timestep: 1, tolerance: 0 }),
    /step 26 lies beyond the 25 steps/,
  ],
  [
    'overlap',
    (m) => m.decision_points.push({ step: 6, timestep: 780, tolerance: 0.5 }),
    /steps 5 and 6 overlap/,
  ],
  ['foreign step', (m) => (firstCalibration(m).step = 7), /calibration: step 7 is not a decision point/],
  ['scores', (m) => firstCalibration(m).scores.push(0), /calibration of step 5: scores is not ascending/],
  ['good scores', (m) => firstCalibration(m).good_scores.push(0), /good_scores is not ascending/],
  ['curve', (m) => (firstCalibration(m).p_good.probability[1] = 1), /p_good\.probability is not ascending/],
  [
    'curve length',
    (m) => firstCalibration(m).p_good.score.push(9),
    /p_good has 4 scores but 3 probabilities/,
  ],
  ['probability', (m) => (firstCalibration(m).p_good.probability[2] = 1.5), /probability\.2: .*, not 1\.5/],
];

for (const [name, breakManifest, message] of MISTAKES) {
  test(`a mistake is refused with its field: ${name}`, () => {
    const manifest = validManifest();
    breakManifest(manifest);
    assert.throws(
      () => parseManifest(JSON.stringify(manifest)),
      (error) => error instanceof ProbeRefusedError && message.test(error.message),
    );
  });
}
