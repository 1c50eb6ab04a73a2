/** What `@diffusion-probe/client` exports. */
export type { FeedbackAnswer, Problem, SampleResult } from './answer.js';
export type { Conditions } from './conditions.js';
export type { Policy } from './policy.js';
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
