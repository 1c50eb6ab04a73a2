/** Counts requests to /score: their outcomes, samples and decisions. Label sets start at zero before their first count. */
import type { Policy } from '../decision/policy.js';
import type { ServedProbe } from '../engine/types.js';
import { type ErrorCode, ERRORS, FAIL_OPEN_REASONS, isFailOpenReason } from '../errors.js';
import { CONDITIONS_MEMBERS, CONDITIONS_STATES, type ConditionsState } from '../probe/conditions.js';
import type { Manifest } from '../probe/manifest.js';
import { possibleDecisions } from './possible-decisions.js';
import type { FeedbackMetrics, PolicyAtPoint } from './feedback-metrics.js';
import type { Instruments } from './instruments.js';
import { STAGES } from './tracing.js';

const TENTHS = 10;
/** The label of members of conditions that only a caller or a probe has named. */
const OTHER_MEMBER = 'other';
const KNOWN_MEMBERS: ReadonlySet<string> = new Set(CONDITIONS_MEMBERS);
/** The label of a decision without override, and of a request without an error. */
const NONE = 'none';

const REQUEST_ERRORS = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => !isFailOpenReason(code));

/** A loaded probe, with the policy for requests that give none. */
export interface ExpectedProbe {
  readonly name: string;
  readonly version: number;
  readonly manifest: Manifest;
  readonly policy: Policy;
}

/** A group that was answered with scores. */
export interface ScoredEvent {
  readonly probe: ServedProbe;
  readonly policy: Policy;
  /** The decision point's step. */
  readonly step: number;
  /** How the request's conditions compare with the probe's, and the members that differ. */
  readonly conditions: { readonly state: ConditionsState; readonly members: readonly string[] };
  readonly results: readonly {
    readonly score: number;
    /** 0 to 100; null without calibration. */
    readonly percentile: number | null;
    readonly decision: string;
    readonly reason: string;
    readonly override: string | null;
  }[];
}

/** A request without scores. */
export interface UnscoredEvent {
  /** `refused`: an error of the request. `failed`: an error of the service. `gone`: its client left before the answer. */
  readonly outcome: 'failed_open' | 'refused' | 'failed' | 'gone';
  readonly reason: ErrorCode | 'none';
  /** Undefined when the request failed before its probe was known. */
  readonly probe?: ServedProbe | undefined;
  /** Undefined when the request failed before its samples were counted. */
  readonly samples?: number | undefined;
}

type ProbeLabels = Record<'model' | 'version' | 'provider', string>;

const NO_PROBE: ProbeLabels = { model: '', version: '', provider: '' };

/** The labels of a probe; empty for a request whose probe is not known. */
export function probeLabels(probe: ServedProbe | undefined): ProbeLabels {
  if (!probe) return NO_PROBE;
  return { model: probe.name, version: String(probe.version), provider: probe.provider };
}

/** Starts all outcomes, stages and batches of requests to a probe at zero. */
export function startRequestsAtZero(
  { scoreRequests, samples, stageDuration, batchSize, batchDuration }: Instruments,
  labels: ProbeLabels,
): void {
  const results = [
    { outcome: 'scored', reason: NONE },
    { outcome: 'gone', reason: NONE },
    ...REQUEST_ERRORS.map((reason) => ({ outcome: 'refused', reason })),
    ...FAIL_OPEN_REASONS.flatMap((reason) => [
      { outcome: 'failed_open', reason },
      { outcome: 'failed', reason },
    ]),
  ];
  for (const result of results) {
    scoreRequests.inc({ ...labels, ...result }, 0);
    samples.inc({ ...labels, ...result }, 0);
  }
  for (const stage of STAGES) stageDuration.startAtZero({ ...labels, stage });
  if (labels.model === '') return;
  batchSize.startAtZero(labels);
  batchDuration.startAtZero(labels);
}

/** Starts the decisions and the feedback of a policy at a decision point at zero, once. */
export type StartPolicy = (point: PolicyAtPoint) => void;

export function policyStarter({ decisions }: Instruments, feedback: FeedbackMetrics): StartPolicy {
  const started = new Set<string>();
  return (point) => {
    feedback.startAtZero(point);
    const { model, version, step, policy } = point;
    const key = JSON.stringify([
      model,
      version,
      step,
      policy.name,
      policy.mode,
      policy.min_keep === undefined,
    ]);
    if (started.has(key)) return;
    started.add(key);
    for (const outcome of possibleDecisions(policy))
      decisions.inc({ model, version, step, policy: policy.name, ...outcome }, 0);
  };
}

/** Starts all decisions of a probe by a policy at zero: PromQL's `increase` misses the first count of a new label set. */
export function startDecisionsAtZero(
  { stepsSaved, stepsLost, waitSeconds, scoreTenths, score, conditions, foreignConditions }: Instruments,
  startPolicy: StartPolicy,
  { name: model, version, manifest, policy }: ExpectedProbe,
): void {
  for (const counter of [stepsSaved, stepsLost, waitSeconds]) counter.inc({ model, version }, 0);
  for (const state of CONDITIONS_STATES) conditions.inc({ model, version, state }, 0);
  for (const field of [...CONDITIONS_MEMBERS, OTHER_MEMBER])
    foreignConditions.inc({ model, version, field }, 0);
  for (const { step } of manifest.decision_points) {
    startPolicy({ model, version, step, policy });
    score.startAtZero({ model, version, step });
  }
  for (const { step } of manifest.calibration) {
    for (let tenth = 1; tenth <= TENTHS; tenth += 1) scoreTenths.inc({ model, version, step, tenth }, 0);
  }
}

export function countScored(
  instruments: Instruments,
  startPolicy: StartPolicy,
  { probe, policy, step, conditions, results }: ScoredEvent,
): void {
  const {
    scoreRequests,
    samples,
    decisions,
    score: scores,
    scoreTenths,
    stepsSaved,
    stepsLost,
  } = instruments;
  const { name: model, version, manifest } = probe;
  const [low, high] = manifest.metric.range;
  const result = { ...probeLabels(probe), outcome: 'scored', reason: NONE };
  scoreRequests.inc(result);
  samples.inc(result, results.length);
  countConditions(instruments, { model, version }, conditions);
  startPolicy({ model, version, step, policy });
  const point = { model, version, step };
  scores.startAtZero(point);
  for (const { score, percentile, decision, reason, override } of results) {
    decisions.inc({ ...point, policy: policy.name, decision, reason, override: override ?? NONE });
    scores.observe(point, (score - low) / (high - low));
    if (percentile !== null) scoreTenths.inc({ ...point, tenth: tenthOf(percentile) });
    if (decision !== 'drop') continue;
    stepsSaved.inc({ model, version }, manifest.total_steps - step);
    stepsLost.inc({ model, version }, step);
  }
}

function countConditions(
  { conditions, foreignConditions }: Instruments,
  probe: { model: string; version: number },
  { state, members }: ScoredEvent['conditions'],
): void {
  conditions.inc({ ...probe, state });
  const fields = new Set(members.map((member) => (KNOWN_MEMBERS.has(member) ? member : OTHER_MEMBER)));
  for (const field of fields) foreignConditions.inc({ ...probe, field });
}

export function countUnscored(
  { scoreRequests, samples, failedOpen }: Instruments,
  { outcome, reason, probe, samples: count = 0 }: UnscoredEvent,
): void {
  const result = { ...probeLabels(probe), outcome, reason };
  scoreRequests.inc(result);
  samples.inc(result, count);
  if (outcome === 'failed_open') failedOpen.inc({ reason });
}

/** 1 to 10. Each holds a tenth of the calibration scores. */
function tenthOf(percentile: number): number {
  return Math.min(TENTHS, Math.floor(percentile / TENTHS) + 1);
}
