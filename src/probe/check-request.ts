/**
 * Checks a request's tensors against the inputs that the probe declares: names, element types, shapes, number of samples.
 * Of the values it reads only the timesteps; check-values.ts checks the others.
 */
import { cut, quoted } from '../disclosure.js';
import { problem } from '../errors.js';
import { type DecodedBody, DTYPE_BYTES, type Dtype, type TensorSlice } from '../wire/tensor.js';
import type { Manifest, ManifestInput } from './manifest.js';

const FLOATS: readonly Dtype[] = ['F16', 'BF16', 'F32'];
const TIMESTEP = 'timestep';

export interface CheckedTensors {
  readonly samples: number;
  /** One per sample, in the backbone's own numbers. */
  readonly timesteps: readonly number[];
}

/**
 * Checks a request's tensors against a probe.
 * @param maxSamples the most samples that one request may hold.
 * @throws {ProblemError} with status 422, naming the tensor, what was received and what was expected.
 */
export function checkTensors(body: DecodedBody, manifest: Manifest, maxSamples: number): CheckedTensors {
  refuseUnknown(body, manifest.inputs);
  const axes = new Map<string, number>();
  for (const input of manifest.inputs) {
    const tensor = body.tensors.get(input.name);
    if (!tensor) throw missing(input);
    checkDtype(input, tensor);
    checkShape(input, tensor, axes);
  }
  const samples = axes.get('batch') ?? 0;
  checkSampleCount(samples, maxSamples);
  if (axes.get('tokens') === 0) {
    throw problem('wrong_shape', 'The request holds no token.', {
      field: 'attention',
      received: 0,
      expected: 'at least 1 token',
    });
  }
  return { samples, timesteps: readTimesteps(body) };
}

/** @throws {ProblemError} `foreign_capture`, when the request states another capture than the probe's. */
export function checkCapture(captureId: string | undefined, manifest: Manifest): void {
  if (captureId === undefined || captureId === manifest.capture_id) return;
  throw problem(
    'foreign_capture',
    'The request’s attention was captured with other layers or settings than the probe’s.',
    { field: 'capture_id', received: captureId, expected: manifest.capture_id },
  );
}

function refuseUnknown(body: DecodedBody, inputs: readonly ManifestInput[]): void {
  const names = inputs.map((input) => input.name);
  const unknown = [...body.tensors.keys()].find((name) => !names.includes(name));
  if (unknown === undefined) return;
  throw problem('unknown_tensor', `The probe does not take a tensor named ${quoted(unknown)}.`, {
    field: unknown,
    received: unknown,
    expected: names,
  });
}

function missing(input: ManifestInput): Error {
  return problem('missing_tensor', `The tensor "${input.name}" is missing.`, {
    field: input.name,
    expected: { dtype: input.dtype, shape: input.shape },
  });
}

function checkDtype(input: ManifestInput, tensor: TensorSlice): void {
  const accepted = acceptedDtypes(input);
  if (accepted.includes(tensor.dtype)) return;
  throw problem('wrong_dtype', `The tensor "${input.name}" has the element type ${tensor.dtype}.`, {
    field: input.name,
    received: tensor.dtype,
    expected: accepted.length === 1 ? accepted[0] : accepted,
  });
}

/** Backends may send the float type that they compute in; for a timestep, 16 bits are too coarse. */
function acceptedDtypes(input: ManifestInput): readonly Dtype[] {
  const isFloat = FLOATS.includes(input.dtype);
  return isFloat && input.name !== TIMESTEP ? FLOATS : [input.dtype];
}

/** Fixed axes must agree with the probe, and named axes with those of the first tensor that has them. */
function checkShape(input: ManifestInput, tensor: TensorSlice, axes: Map<string, number>): void {
  const fits =
    tensor.shape.length === input.shape.length &&
    input.shape.every((axis, index) => {
      const size = tensor.shape[index] ?? -1;
      if (typeof axis === 'number') return size === axis;
      if (!axes.has(axis)) axes.set(axis, size);
      return axes.get(axis) === size;
    });
  if (fits) return;
  const shape = cut(`[${tensor.shape.join(', ')}]`);
  throw problem('wrong_shape', `The tensor "${input.name}" has the shape ${shape}.`, {
    field: input.name,
    received: tensor.shape,
    expected: input.shape.map((axis) => (typeof axis === 'number' ? axis : (axes.get(axis) ?? axis))),
  });
}

function checkSampleCount(samples: number, maxSamples: number): void {
  const extra = { field: 'attention', received: samples };
  if (samples === 0)
    throw problem('empty_batch', 'The request holds no sample.', { ...extra, expected: 'at least 1 sample' });
  if (samples > maxSamples) {
    throw problem('too_many_samples', `The request holds ${samples} samples.`, {
      ...extra,
      expected: `at most ${maxSamples} samples`,
    });
  }
}

function readTimesteps(body: DecodedBody): number[] {
  const tensor = body.tensors.get(TIMESTEP);
  if (!tensor) return [];
  const view = new DataView(body.bytes, tensor.byteOffset, tensor.byteLength);
  return Array.from({ length: tensor.byteLength / DTYPE_BYTES.F32 }, (_, index) =>
    view.getFloat32(index * DTYPE_BYTES.F32, true),
  );
}
