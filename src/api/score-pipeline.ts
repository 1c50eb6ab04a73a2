/**
 * Owns the path of one request from bytes to decisions: receive, decode, check against the probe, score, decide.
 * It throws on every failure; what a failure costs the caller is decided in score.ts.
 */
import type { Readable } from 'node:stream';

import { locateRequest } from '../probe/decision-point.js';
import { type Policy, stepsNamed } from '../decision/policy.js';
import { type Policies, ruleFor } from '../config/policies.js';
import type { DecisionPoint } from '../probe/manifest.js';
import type { Engine, ServedProbe } from '../engine/types.js';
import { ProblemError, problem } from '../errors.js';
import type { KeyRing } from '../feedback/keys.js';
import { BodyMemory } from '../wire/body-memory.js';
import { checkCapture, checkTensors } from '../probe/check-request.js';
import { decodeJson } from '../wire/json.js';
import type { ListDtype } from '../wire/nested-lists.js';
import { announcedSamples, decodeSafetensors } from '../wire/safetensors.js';
import type { DecodedBody } from '../wire/tensor.js';
import { Admission } from './admission.js';
import type { RequestDeadline } from './request-deadline.js';
import { announcedLength, receiveBody } from './receive-body.js';
import { scoredAnswer } from './score-answer.js';
import { checkSampleIds, readScoreFields, type ScoreFields } from './score-fields.js';
import type { Scored } from './score-schemas.js';
import type { StageClock } from './stage-clock.js';

/** Memory of bodies that is kept for the next ones: enough for a busy service, and no burst is held for ever. */
const MAX_KEPT_BYTES = 67_108_864;

export interface ScoreLimits {
  readonly maxBodyBytes: number;
  readonly maxJsonBodyBytes: number;
  readonly maxSamplesPerRequest: number;
  readonly maxQueueSamples: number;
  readonly maxQueueBytes: number;
}

export interface ScorePipelineOptions {
  readonly engine: Engine;
  readonly limits: ScoreLimits;
  /** What holds now. */
  readonly policies: () => Policies;
  /** Sign the receipts now. */
  readonly keys: () => KeyRing;
}

/** Where a request's bytes come from. */
export interface ScoreSource {
  readonly stream: Readable;
  readonly contentLength: string | undefined;
  readonly format: 'safetensors' | 'json';
  /** The policy as JSON, where it does not come in the body. */
  readonly policyHeader: string | undefined;
}

/** What has been found out about a request; filled as it goes, so that a failure can still tell. */
export interface Findings {
  probe?: ServedProbe;
  policy?: Policy;
  point?: DecisionPoint;
  samples?: number;
}

export type ScorePipeline = (
  source: ScoreSource,
  life: RequestDeadline,
  clock: StageClock,
  findings: Findings,
  /** What the engine's runs for it are reported with, see EngineOptions.onRun. */
  origin?: object,
) => Promise<Scored>;

export function createScorePipeline({ engine, limits, policies, keys }: ScorePipelineOptions): ScorePipeline {
  const admission = new Admission(engine, limits);
  const bodyMemory = new BodyMemory(Math.min(MAX_KEPT_BYTES, limits.maxQueueBytes));

  return async (source, life, clock, findings, origin) => {
    const memory = await receive(source, life);
    clock.lap('receive');

    const body = decode(memory, source.format);
    const fields = readScoreFields(body.metadata, source.policyHeader);
    const probe = resolve(fields.model);
    findings.probe = probe;
    const policy = choosePolicy(probe, fields);
    findings.policy = policy;
    const { point, samples } = check(body, fields, probe);
    findings.point = point;
    findings.samples = samples;
    clock.lap('decode');

    const { scores, queueMs, inferenceMs } = await engine.score(probe, body, {
      signal: life.signal,
      ...(life.deadline !== undefined && { deadline: life.deadline }),
      ...(origin && { origin }),
    });
    clock.record({ queue: queueMs, inference: inferenceMs });
    // Only now: of a request that failed, a worker may still be reading.
    bodyMemory.give(memory);

    const { group, sampleIds } = fields;
    const answer = scoredAnswer(
      { probe, policy, step: point.step, scores: [...scores], group, sampleIds },
      keys(),
    );
    clock.lap('decision');
    return answer;
  };

  async function receive(
    { stream, contentLength, format }: ScoreSource,
    life: RequestDeadline,
  ): Promise<SharedArrayBuffer> {
    const maxBytes = format === 'json' ? limits.maxJsonBodyBytes : limits.maxBodyBytes;
    const length = announcedLength(contentLength, maxBytes);
    if (life.deadline !== undefined) admission.refuseLate(life.deadline - performance.now());
    const release = admission.reserve(length);
    const memory = bodyMemory.take(length);
    const look = (received: number): void => lookAhead(memory, received);
    try {
      await receiveBody(stream, memory, life.signal, format === 'safetensors' ? look : undefined);
      return memory;
    } finally {
      release();
    }
  }

  /** Too many samples for the queue are refused on the header's word, before the tensors come. */
  function lookAhead(memory: ArrayBufferLike, received: number): void {
    // Only where it could matter: the header will be read again with the whole body.
    if (!admission.isFullFor(limits.maxSamplesPerRequest)) return;
    const samples = announcedSamples(memory, received);
    if (samples !== undefined) admission.refuseSamples(samples);
  }

  function decode(memory: ArrayBufferLike, format: ScoreSource['format']): DecodedBody {
    if (format === 'safetensors') return decodeSafetensors(memory);
    return decodeJson(memory, (model, tensor) => listDtype(resolve(model), tensor));
  }

  function resolve(reference: string | undefined): ServedProbe {
    try {
      return engine.resolve(reference);
    } catch (error) {
      const { ready, reason } = engine.readiness();
      const notFound = error instanceof ProblemError && error.code === 'model_not_found';
      if (notFound && !ready) throw problem('unready', reason ?? 'No probe is loaded yet.', { cause: error });
      throw error;
    }
  }

  function choosePolicy(probe: ServedProbe, fields: ScoreFields): Policy {
    const rule = ruleFor(policies(), probe.name);
    if (fields.policy === undefined) return rule.policy;
    if (rule.allow_override) return withKnownSteps(fields.policy, probe);
    throw problem('policy_override_forbidden', 'Leave the policy out: this service sets it.', {
      field: 'policy',
      received: fields.policy,
      expected: 'no policy',
    });
  }

  function check(
    body: DecodedBody,
    fields: ScoreFields,
    { manifest }: ServedProbe,
  ): { point: DecisionPoint; samples: number } {
    checkCapture(fields.captureId, manifest);
    const { samples, timesteps } = checkTensors(body, manifest, limits.maxSamplesPerRequest);
    checkSampleIds(fields.sampleIds, samples);
    const point = locateRequest(manifest, timesteps, { step: fields.step, totalSteps: fields.totalSteps });
    return { point, samples };
  }
}

/** A step that the probe does not know is a mistake; in the operator's file it must not cost requests. */
function withKnownSteps(policy: Policy, { manifest }: ServedProbe): Policy {
  const known = manifest.decision_points.map(({ step }) => step);
  const unknown = stepsNamed(policy).find((step) => !known.includes(step));
  if (unknown === undefined) return policy;
  throw problem('invalid_policy', `The probe has no decision point at step ${unknown}.`, {
    field: `policy.alphas.${unknown}`,
    received: unknown,
    expected: known,
  });
}

function listDtype({ manifest }: ServedProbe, tensor: string): ListDtype {
  const declared = manifest.inputs.find((input) => input.name === tensor)?.dtype;
  return declared === 'U8' || declared === 'I64' ? declared : 'F32';
}
