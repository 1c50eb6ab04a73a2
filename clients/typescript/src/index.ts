/** Owns what `diffusion-probe/client` exports. */
export type { Policy } from '../../../src/decision/policy.js';
export type { FeedbackAnswer, Problem, SampleResult } from './answer.js';
export {
  type Decision,
  type FeedbackItem,
  type FeedbackOptions,
  ProbeClient,
  type ProbeClientOptions,
  type ScoreCallOptions,
  type ScoredGroup,
  type ScoreFailure,
  type ScoreOutcome,
  type UnscoredGroup,
} from './probe-client.js';
export type { ScoreInput, ScoreRequestOptions } from './request.js';
export type { Dtype, TensorData } from './safetensors.js';
