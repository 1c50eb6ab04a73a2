/**
 * The stages of one request to /score, from bytes to decisions: receive, decode, check, score, decide.
 * Every failure is thrown; score.ts turns it into an answer.
 */
import type { Readable } from 'node:stream';

import { type Policies, ruleFor } from '../config/policies.js';
import type { Engine, EngineResult, ServedProbe } from '../engine/types.js';
import { ProblemError, problem } from '../errors.js';
import type { KeyRing } from '../feedback/keys.js';
import { checkCapture, checkTensors } from '../probe/check-request.js';
import { locateRequest } from '../probe/decision-point.js';
import { BodyMemory } from '../wire/body-memory.js';
import type { DecodedBody } from '../wire/tensor.js';
import { Admission, type AdmissionLimits } from './admission.js';
import type { BodyFormat } from './body-format.js';
import { announcedLength, receiveBody } from './receive-body.js';
import type { RequestDeadline } from './request-deadline.js';
import { type ScoredRequest, scoredAnswer } from './score-answer.js';
import { ConditionsJudge } from './score-conditions.js';
import type { Findings, ScoreContext } from './score-context.js';
import { checkSampleIds, choosePolicy, readScoreFields, type ScoreFields } from './score-fields.js';
import type { Scored } from './score-schemas.js';

/** Limit of the body memory that is kept for reuse; memory of larger bursts is released. */
const MAX_KEPT_BYTES = 67_108_864;

export interface ScoreLimits extends AdmissionLimits {
  readonly maxBodyBytes: number;
  readonly maxJsonBodyBytes: number;
  readonly maxSamplesPerRequest: number;
}

export interface ScorePipelineOptions {
  readonly engine: Engine;
  readonly limits: ScoreLimits;
  /** Returns the policies now in force. */
  readonly policies: () => Policies;
  /** Returns the keys that now sign receipts. */
  readonly keys: () => KeyRing;
}

/** The bytes of a request, and how to read them. */
export interface ScoreSource {
  readonly stream: Readable;
  /** Whose turn the request takes. */
  readonly tenant: string;
  /** Identifies the connection: its next request is likely to be for the same probe. */
  readonly connection: object;
  readonly contentLength: string | undefined;
  readonly format: BodyFormat;
  /** A policy as JSON, which replaces the one in the body. */
  readonly policyHeader: string | undefined;
}

export class ScorePipeline {
  readonly #options: ScorePipelineOptions;
  readonly #admission: Admission;
  readonly #bodyMemory: BodyMemory;
  readonly #conditions = new ConditionsJudge();
  /** The probe that was last used on each connection. */
  readonly #lastProbe = new WeakMap<object, ServedProbe>();

  constructor(options: ScorePipelineOptions) {
    const { engine, limits } = options;
    this.#options = options;
    this.#admission = new Admission(engine, limits);
    this.#bodyMemory = new BodyMemory(Math.min(MAX_KEPT_BYTES, limits.maxQueueBytes));
  }

  /** Takes one request through all stages, and fills the context's findings and clock on the way. */
  async answer(source: ScoreSource, context: ScoreContext): Promise<Scored> {
    const { clock, deadline, findings } = context;
    const memory = await this.#receive(source, deadline);
    clock.endStage('receive');
    const decoded = source.format.decode(memory, deadline.signal);
    const body = decoded instanceof Promise ? await decoded : decoded;
    const fields = readScoreFields(body.metadata, source.policyHeader);
    const { probe, policy, step, conditions } = this.#check(body, fields, findings);
    this.#lastProbe.set(source.connection, probe);
    clock.endStage('decode');
    const { scores, queueMs, inferenceMs } = await this.#score(probe, body, source.tenant, context);
    clock.addStage('queue', queueMs);
    clock.addStage('inference', inferenceMs);
    clock.endStage('dispatch');
    // Not after a failure, because a worker may still be reading the memory.
    this.#bodyMemory.give(memory);
    const { group, sampleIds } = fields;
    const answer = this.#decide({ probe, policy, step, scores: [...scores], conditions, group, sampleIds });
    clock.endStage('decision');
    return answer;
  }

  async #receive(
    { stream, tenant, connection, contentLength, format }: ScoreSource,
    deadline: RequestDeadline,
  ): Promise<SharedArrayBuffer> {
    const length = announcedLength(contentLength, this.#options.limits[format.limit]);
    if (deadline.answerBy !== undefined) {
      const leftMs = deadline.answerBy - performance.now();
      this.#admission.refuseLate(tenant, this.#lastProbe.get(connection), leftMs);
    }
    return receiveBody(stream, {
      arrival: this.#admission.admit(tenant, length),
      takeMemory: (bytes) => this.#bodyMemory.take(bytes),
      signal: deadline.signal,
      lookAhead: (memory, received) =>
        this.#refuseSamples(tenant, () => format.announced?.(memory, received)),
    });
  }

  /** Refuses too many samples for the queue as soon as the body's header has arrived. */
  #refuseSamples(tenant: string, announced: () => number | undefined): void {
    // Parses the header only when the queue is nearly full, because it is parsed again with the whole body.
    if (!this.#admission.isFullFor(tenant, this.#options.limits.maxSamplesPerRequest)) return;
    const samples = announced();
    if (samples !== undefined) this.#admission.refuseSamples(tenant, samples);
  }

  #check(
    body: DecodedBody,
    fields: ScoreFields,
    findings: Findings,
  ): Pick<ScoredRequest, 'probe' | 'policy' | 'step' | 'conditions'> {
    const { limits, policies } = this.#options;
    const probe = this.#resolve(fields.model);
    findings.probe = probe;
    const rule = ruleFor(policies(), probe.name);
    const policy = choosePolicy(rule, probe, fields.policy);
    findings.policy = policy;
    const { manifest } = probe;
    checkCapture(fields.captureId, manifest);
    const { samples, timesteps } = checkTensors(body, manifest, limits.maxSamplesPerRequest);
    checkSampleIds(fields.sampleIds, samples);
    const point = locateRequest(manifest, timesteps, fields);
    findings.point = point;
    findings.samples = samples;
    const conditions = this.#conditions.judge(manifest, fields, rule);
    findings.conditions = conditions;
    return { probe, policy, step: point.step, conditions };
  }

  #score(
    probe: ServedProbe,
    body: DecodedBody,
    tenant: string,
    { deadline, trace }: ScoreContext,
  ): Promise<EngineResult> {
    return this.#options.engine.score(probe, body, {
      tenant,
      signal: deadline.signal,
      ...(deadline.answerBy !== undefined && { deadline: deadline.answerBy }),
      ...(trace && { origin: trace }),
    });
  }

  #decide(scores: ScoredRequest): Scored {
    return scoredAnswer(scores, this.#options.keys());
  }

  #resolve(reference: string | undefined): ServedProbe {
    const { engine } = this.#options;
    try {
      return engine.resolve(reference);
    } catch (error) {
      const { ready, reason } = engine.readiness();
      const notFound = error instanceof ProblemError && error.code === 'model_not_found';
      if (notFound && !ready) throw problem('unready', reason ?? 'No probe is loaded yet.', { cause: error });
      throw error;
    }
  }
}
