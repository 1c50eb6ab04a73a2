/** Checks the arguments of a call before anything is sent. Every function throws InvalidInputError. */
import type { FeedbackItem } from './feedback.js';
import { InvalidInputError } from './errors.js';
import type { ScoreInput, ScoreRequestOptions } from './request.js';
import { byteLengthOf, type TensorData } from './safetensors.js';

const AXES = ['batch', 'layers', 'tokens', 'height', 'width'];
const ATTENTION_DTYPES = ['F16', 'BF16', 'F32'];
const OWN_TENSORS = new Set(['attention', 'token_mask', 'timestep']);
/** Receipts in one request, the service's limit. */
const MAX_FEEDBACK = 1000;
const MAX_SHOWN = 80;

export function checkInput(input: ScoreInput): void {
  if (typeof input !== 'object' || input === null)
    throw new InvalidInputError('input', shown(input), 'an object');
  const { attention, tokenMask, timestep, signals = {} } = input;
  checkTensor('attention', attention);
  const { dtype, shape } = attention;
  if (!ATTENTION_DTYPES.includes(dtype))
    throw new InvalidInputError('attention', dtype, ATTENTION_DTYPES.join(' or '));
  if (shape.length !== AXES.length || shape.includes(0))
    throw new InvalidInputError('attention', shown(shape), `[${AXES.join(', ')}], none of them 0`);
  const [samples = 0, , tokens = 0] = shape;
  if (
    tokenMask !== undefined &&
    !(ArrayBuffer.isView(tokenMask) && tokenMask.byteLength === samples * tokens)
  )
    throw new InvalidInputError('tokenMask', sizeOf(tokenMask), `a Uint8Array of [${samples}, ${tokens}]`);
  if (typeof timestep === 'number' ? !isFloat32(timestep) : !isTimesteps(timestep, samples))
    throw new InvalidInputError(
      'timestep',
      shown(timestep),
      `a finite number, or a Float32Array of ${samples}`,
    );
  for (const [name, signal] of Object.entries(signals)) {
    if (OWN_TENSORS.has(name))
      throw new InvalidInputError('signals', name, 'names other than attention, token_mask, timestep');
    checkTensor(name, signal);
    if (signal.shape[0] !== samples)
      throw new InvalidInputError(name, shown(signal.shape), `[${samples}, ...], one row per sample`);
  }
}

export function checkMetadata(options: ScoreRequestOptions, samples: number): void {
  const { model, policy, group, sampleIds, step, totalSteps, captureId, conditionsId } = options;
  for (const [name, value] of Object.entries({ model, group, captureId, conditionsId }))
    if (value !== undefined && typeof value !== 'string')
      throw new InvalidInputError(name, shown(value), 'a text');
  for (const [name, value] of Object.entries({ step, totalSteps }))
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1))
      throw new InvalidInputError(name, shown(value), 'a whole number from 1');
  if (policy !== undefined && typeof (policy as { name?: unknown } | null)?.name !== 'string')
    throw new InvalidInputError(
      'policy',
      shown(policy),
      "an object with a name, such as { name: 'top_k', k: 2 }",
    );
  const areIds = Array.isArray(sampleIds) && sampleIds.every((id) => typeof id === 'string');
  if (sampleIds !== undefined && !(areIds && sampleIds.length === samples))
    throw new InvalidInputError('sampleIds', shown(sampleIds), `${samples} texts, one per sample`);
}

export function checkFeedback(items: readonly FeedbackItem[]): void {
  if (!Array.isArray(items) || items.length === 0 || items.length > MAX_FEEDBACK)
    throw new InvalidInputError(
      'feedback',
      sizeOf(items),
      `1 to ${MAX_FEEDBACK} receipts with their qualities`,
    );
  for (const [index, given] of (items as readonly (Partial<FeedbackItem> | null)[]).entries()) {
    const item = given ?? {};
    if (typeof item.receipt !== 'string')
      throw new InvalidInputError(`feedback[${index}].receipt`, shown(item.receipt), 'a receipt from score');
    if (!Number.isFinite(item.quality))
      throw new InvalidInputError(`feedback[${index}].quality`, shown(item.quality), 'a finite number');
  }
}

function checkTensor(name: string, tensor: TensorData | undefined): void {
  const { dtype, shape, data } = tensor ?? ({} as Partial<TensorData>);
  if (dtype === undefined || !Array.isArray(shape) || !ArrayBuffer.isView(data))
    throw new InvalidInputError(name, shown(tensor), '{ dtype, shape, data }, data as a typed array');
  const expected = byteLengthOf(dtype, shape);
  if (data.byteLength !== expected)
    throw new InvalidInputError(
      name,
      `${data.byteLength} bytes`,
      `${expected} bytes, ${dtype} ${shown(shape)}`,
    );
}

/** Not by `instanceof`, which is false for arrays of another realm, such as those in tests of Jest. */
function isTimesteps(value: Float32Array | undefined, samples: number): boolean {
  return (
    value?.[Symbol.toStringTag] === 'Float32Array' && value.length === samples && value.every(Number.isFinite)
  );
}

function isFloat32(value: number): boolean {
  return Number.isFinite(Math.fround(value));
}

function sizeOf(value: unknown): string {
  const { length } = (value ?? {}) as { length?: unknown };
  return typeof length === 'number' ? `of ${length}` : shown(value);
}

function shown(value: unknown): string {
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name} of ${value.byteLength} bytes`;
  if (Array.isArray(value)) return cut(`[${value.map(String).join(', ')}]`);
  return typeof value === 'object' && value !== null ? 'an object' : cut(String(value));
}

function cut(text: string): string {
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN - 3)}...`;
}
