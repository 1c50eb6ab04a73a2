/** Makes the input of a probe from a step of the reference world: the layers and signals that its manifest declares. */
import type { ScoreInput, TensorData } from '../../clients/typescript/src/index.js';
import type { Manifest } from '../../src/probe/manifest.js';
import { f32ToF16 } from '../../src/wire/float-convert.js';
import type { Description } from './description.js';
import { quantizeColour } from './images.js';
import type { Step } from './sampler.js';
import type { EncodedCaption } from './world.js';

/** The probe is for another backbone: it needs a layer or a signal that the reference world does not have. */
export class CaptureMismatch extends Error {}

/** The members of a manifest that say what to capture. */
export type CaptureSpec = Pick<Manifest, 'inputs'> & {
  readonly capture: { readonly layers: readonly string[] };
};

/**
 * The probe's input for all rows of a step, without the begin token.
 * @throws {CaptureMismatch}
 */
export function toScoreInput(
  step: Step,
  caption: EncodedCaption,
  description: Description,
  { capture, inputs }: CaptureSpec,
): ScoreInput {
  const tokens = caption.ids.length - 1;
  const attention = selectLayers(step.attention, tokens, description, capture.layers);
  const [rows = 0] = attention.shape;
  const signals = Object.fromEntries(
    inputs
      .filter(({ name }) => !['attention', 'token_mask', 'timestep'].includes(name))
      .map(({ name }): [string, TensorData] => [name, signalOf(name, step, caption, rows, description)]),
  );
  return { attention, timestep: step.timestep, signals };
}

/** The attention of the probe's layers, in its order, as F16. */
function selectLayers(
  attention: Float32Array,
  tokens: number,
  { capture }: Description,
  layers: readonly string[],
): TensorData {
  const { height, width } = capture;
  const indices = layers.map((layer) => indexOfLayer(layer, capture.layers));
  const layerSize = tokens * height * width;
  const rowSize = capture.layers.length * layerSize;
  const rows = attention.length / rowSize;
  const data = new Uint16Array(rows * layers.length * layerSize);
  let start = 0;
  for (let row = 0; row < rows; row += 1) {
    for (const index of indices) {
      const from = row * rowSize + index * layerSize;
      data.set(f32ToF16(attention.subarray(from, from + layerSize)), start);
      start += layerSize;
    }
  }
  return { dtype: 'F16', shape: [rows, layers.length, tokens, height, width], data };
}

function indexOfLayer(layer: string, known: readonly string[]): number {
  const index = known.indexOf(layer);
  if (index !== -1) return index;
  throw new CaptureMismatch(`the probe reads layer ${layer}; the reference world has ${known.join(', ')}`);
}

function signalOf(
  name: string,
  step: Step,
  caption: EncodedCaption,
  rows: number,
  { image }: Description,
): TensorData {
  if (name === 'preview') {
    return {
      dtype: 'F16',
      shape: [rows, ...image],
      data: f32ToF16(step.preview.map(quantizeColour)),
    };
  }
  if (name === 'token_ids') {
    const ids = caption.ids.slice(1);
    const data = BigInt64Array.from(Array<readonly number[]>(rows).fill(ids).flat(), BigInt);
    return { dtype: 'I64', shape: [rows, ids.length], data };
  }
  if (name === 'guidance_difference') {
    return { dtype: 'F32', shape: [rows], data: step.guidanceDifference };
  }
  throw new CaptureMismatch(
    `the probe needs the signal ${name}; the reference world has preview, token_ids and guidance_difference`,
  );
}
