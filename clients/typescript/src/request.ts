/** Encodes a score request as the bytes of its body. */
import type { ConditionsOptions } from './conditions.js';
import type { Policy } from './policy.js';
import { encodeSafetensors, type TensorData } from './safetensors.js';

/** The signals of a group's samples at one step of the denoiser. */
export interface ScoreInput {
  /** [batch, layers, tokens, height, width]; F16, BF16 or F32; probabilities in [0, 1]. */
  readonly attention: TensorData;
  /** [batch, tokens], 1 for a real token and 0 for padding; all are real when omitted. */
  readonly tokenMask?: Uint8Array;
  /** The backbone's own number: one for all samples, or one per sample. */
  readonly timestep: number | Float32Array;
  /** Further signals, by the names that the probe declares. */
  readonly signals?: Readonly<Record<string, TensorData>>;
}

/** The metadata of a request. */
export interface ScoreRequestOptions extends ConditionsOptions {
  /** `name` or `name@version`; the service's default probe when omitted. */
  readonly model?: string;
  /** The service's policy when omitted. */
  readonly policy?: Policy;
  readonly group?: string;
  /** One per sample. */
  readonly sampleIds?: readonly string[];
  /** The number of the denoising step, from 1. */
  readonly step?: number;
  readonly totalSteps?: number;
  /** The hash of how the attention was captured, as in the probe's manifest. */
  readonly captureId?: string;
}

/** The number of samples in an input; 0 when its shape is not valid. */
export function countSamples(input: ScoreInput): number {
  const samples: unknown = (input as Partial<ScoreInput> | undefined)?.attention?.shape?.[0];
  return typeof samples === 'number' && Number.isSafeInteger(samples) && samples > 0 ? samples : 0;
}

/**
 * The body of a request, in safetensors layout.
 * @param conditions the metadata about conditions.
 * @throws {RangeError} when a tensor's data does not fit its shape.
 */
export function encodeRequest(
  input: ScoreInput,
  options: ScoreRequestOptions,
  conditions: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const { attention, tokenMask, timestep, signals } = input;
  const [samples = 0, , tokens = 0] = attention.shape;
  const tensors = {
    ...signals,
    attention,
    token_mask: {
      dtype: 'U8',
      shape: [samples, tokens],
      data: tokenMask ?? new Uint8Array(samples * tokens).fill(1),
    },
    timestep: {
      dtype: 'F32',
      shape: [samples],
      data: typeof timestep === 'number' ? new Float32Array(samples).fill(timestep) : timestep,
    },
  } as const;
  return encodeSafetensors(tensors, { ...metadataOf(options), ...conditions });
}

function metadataOf(options: ScoreRequestOptions): Record<string, string> {
  const { model, policy, group, sampleIds, step, totalSteps, captureId } = options;
  return {
    ...(model !== undefined && { model }),
    ...(policy !== undefined && { policy: JSON.stringify(policy) }),
    ...(group !== undefined && { group }),
    ...(sampleIds !== undefined && { sample_ids: JSON.stringify(sampleIds) }),
    ...(step !== undefined && { step: String(step) }),
    ...(totalSteps !== undefined && { total_steps: String(totalSteps) }),
    ...(captureId !== undefined && { capture_id: captureId }),
  };
}
