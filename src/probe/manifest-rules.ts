/** Checks that the fields of a probe.json agree with each other. Each rule returns a sentence per contradiction. */
import { fingerprintOf } from './fingerprint.js';
import type { CalibrationPoint, Manifest, ManifestInput } from './manifest.js';
import { planContradiction } from './plan.js';

/** The file of the ONNX graph, in every probe. */
export const MODEL_FILE = 'model.onnx';

/** All contradictions of a manifest, each as "field: what is wrong"; empty when there are none. */
export function manifestContradictions(manifest: Manifest): string[] {
  return [
    ...fingerprintRules(manifest),
    ...metricRules(manifest),
    ...inputRules(manifest),
    ...decisionPointRules(manifest),
    ...calibrationRules(manifest),
    ...planRules(manifest),
    ...fileRules(manifest),
  ];
}

function fingerprintRules({ capture, capture_id, conditions, conditions_id }: Manifest): string[] {
  const captureHash = fingerprintOf(capture);
  const conditionsHash = conditions && fingerprintOf(conditions);
  return [
    ...(capture_id === captureHash
      ? []
      : [`capture_id: "${capture_id}" is not the hash of capture, "${captureHash}"`]),
    ...(conditions_id === conditionsHash
      ? []
      : [
          `conditions_id: ${JSON.stringify(conditions_id)} is not the hash of conditions, ${JSON.stringify(conditionsHash)}`,
        ]),
  ];
}

function metricRules({ metric }: Manifest): string[] {
  const [low, high] = metric.range;
  if (low >= high) return [`metric.range: ${low} is not below ${high}`];
  if (metric.good_at < low || metric.good_at > high) {
    return [`metric.good_at: ${metric.good_at} lies outside the range ${low} to ${high}`];
  }
  return [];
}

function inputRules({ inputs, capture }: Manifest): string[] {
  const maps = ['batch', capture.layers.length, 'tokens', capture.height, capture.width];
  return [
    ...duplicates(inputs.map(({ name }) => `inputs: "${name}"`)),
    ...inputs.flatMap(axisRules),
    ...requiredInput(inputs, 'attention', ['F16', 'F32'], maps),
    ...requiredInput(inputs, 'token_mask', ['U8'], ['batch', 'tokens']),
    ...requiredInput(inputs, 'timestep', ['F32'], ['batch']),
  ];
}

function axisRules({ name, shape }: ManifestInput): string[] {
  if (shape.indexOf('batch') !== 0 || shape.lastIndexOf('batch') !== 0)
    return [`inputs.${name}.shape: "batch" must be the first axis and no other`];
  return shape.indexOf('tokens') === shape.lastIndexOf('tokens')
    ? []
    : [`inputs.${name}.shape: "tokens" may be one axis only`];
}

function requiredInput(
  inputs: readonly ManifestInput[],
  name: string,
  dtypes: readonly string[],
  shape: readonly (number | string)[],
): string[] {
  const input = inputs.find((candidate) => candidate.name === name);
  if (!input) return [`inputs: "${name}" is missing`];
  const errors: string[] = [];
  if (!dtypes.includes(input.dtype)) {
    errors.push(`inputs.${name}.dtype: must be ${dtypes.join(' or ')}, not ${input.dtype}`);
  }
  if (input.shape.join() !== shape.join()) {
    errors.push(`inputs.${name}.shape: must be [${shape.join(', ')}], not [${input.shape.join(', ')}]`);
  }
  return errors;
}

function decisionPointRules({ decision_points: points, total_steps: totalSteps }: Manifest): string[] {
  const errors = duplicates(points.map(({ step }) => `decision_points: step ${step}`));
  for (const { step } of points) {
    if (step > totalSteps) {
      errors.push(`decision_points: step ${step} lies beyond the ${totalSteps} steps of a run`);
    }
  }
  const byTimestep = points.toSorted((left, right) => left.timestep - right.timestep);
  for (const [index, upper] of byTimestep.entries()) {
    const lower = byTimestep[index - 1];
    if (lower && lower.timestep + lower.tolerance >= upper.timestep - upper.tolerance) {
      errors.push(`decision_points: steps ${lower.step} and ${upper.step} overlap within their tolerances`);
    }
  }
  return errors;
}

function calibrationRules({ calibration, decision_points: points }: Manifest): string[] {
  const steps = new Set(points.map((point) => point.step));
  return [
    ...duplicates(calibration.map(({ step }) => `calibration: step ${step}`)),
    ...calibration
      .filter((point) => !steps.has(point.step))
      .map((point) => `calibration: step ${point.step} is not a decision point`),
    ...calibration.flatMap(curveRules),
  ];
}

function curveRules(point: CalibrationPoint): string[] {
  const { step, scores, good_scores: goodScores, p_good: pGood, false_drop: falseDrop } = point;
  const curves = {
    scores,
    good_scores: goodScores,
    'p_good.score': pGood.score,
    'p_good.probability': pGood.probability,
    ...(falseDrop && { 'false_drop.score': falseDrop.score, 'false_drop.rate': falseDrop.rate }),
  };
  const errors = Object.entries(curves)
    .filter(([, values]) => !isAscending(values))
    .map(([name]) => `calibration of step ${step}: ${name} is not ascending`);
  if (pGood.score.length !== pGood.probability.length) {
    errors.push(
      `calibration of step ${step}: p_good has ${pGood.score.length} scores but ${pGood.probability.length} probabilities`,
    );
  }
  const { score, rate, error } = falseDrop ?? { score: [], rate: [], error: [] };
  if (score.length !== rate.length || score.length !== error.length) {
    errors.push(
      `calibration of step ${step}: false_drop has ${score.length} scores but ${rate.length} rates and ${error.length} errors`,
    );
  }
  return errors;
}

function planRules({ plans, decision_points: points }: Manifest): string[] {
  const known = new Set(points.map(({ step }) => String(step)));
  return [
    ...duplicates(plans.map(({ budget }) => `plans: the budget ${budget}`)),
    ...plans.flatMap(({ budget, seeds, keep, pick }) => {
      const at = `plan for the budget ${budget}`;
      const counts = Object.values(keep);
      const contradiction = planContradiction(seeds, keep);
      return [
        ...Object.keys(keep)
          .filter((step) => !known.has(step))
          .map((step) => `${at}: step ${step} is not a decision point`),
        ...(contradiction ? [`${at}: ${contradiction.path.join('.')} ${contradiction.message}`] : []),
        ...(Math.min(seeds, ...counts) < pick ? [`${at}: fewer than ${pick} images are finished`] : []),
      ];
    }),
  ];
}

function fileRules({ files, selftest, trajectories }: Manifest): string[] {
  return [MODEL_FILE, selftest.input, ...(trajectories === null ? [] : [trajectories])]
    .filter((name) => files[name] === undefined)
    .map((name) => `files: the hash of ${name} is missing`);
}

function isAscending(values: readonly number[]): boolean {
  return values.every((value, index) => index === 0 || value >= (values[index - 1] ?? value));
}

function duplicates(entries: readonly string[]): string[] {
  const repeated = new Set(entries.filter((entry, index) => entries.indexOf(entry) !== index));
  return [...repeated].map((entry) => `${entry} is listed twice`);
}
