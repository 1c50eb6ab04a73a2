/** Owns how a step of the reference world becomes the input of a probe: the layers and signals that its manifest declares. */
import type { Manifest } from '../../src/probe/manifest.js';
import type { ScoreInput } from '../../clients/typescript/src/request.js';
import { numberToF16 } from '../../src/wire/dtype.js';
import type { TensorData } from '../../clients/typescript/src/safetensors.js';
import { wholeColour } from './colour.js';
import type { Description } from './description.js';
import type { Step } from './sampler.js';
import type { EncodedCaption } from './world.js';

/** The probe is made for another backbone: it wants a layer or a signal that there is not. */
export class CaptureMismatch extends Error {}

/** What of a manifest says how to capture. */
export type CaptureContract = Pick<Manifest, 'inputs'> & {
  readonly capture: { readonly layers: readonly string[] };
};

/**
 * The probe's input for all rows of a step.
 * @throws {CaptureMismatch}
 */
export function captured(
  step: Step,
  caption: EncodedCaption,
  description: Description,
  contract: CaptureContract,
): ScoreInput {
  const tokens = caption.ids.length - 1;
  const attention = chosenLayers(step.attention, tokens, description, contract.capture.layers);
  const [rows = 0] = attention.shape;
  const signals = Object.fromEntries(
    contract.inputs
      .filter(({ name }) => !['attention', 'token_mask', 'timestep'].includes(name))
      .map(({ name }): [string, TensorData] => [name, signal(name, step, caption, rows, description)]),
  );
  return { attention, timestep: step.timestep, signals };
}

/** Attention as F16, with the layers that the probe reads, in its order. */
function chosenLayers(
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
      for (let element = 0; element < layerSize; element += 1)
        data[start + element] = numberToF16(attention[from + element]!);
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

function signal(
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
      data: Uint16Array.from(step.preview, (value) => numberToF16(wholeColour(value))),
    };
  }
  if (name === 'token_ids') {
    const ids = caption.ids.slice(1);
    const data = BigInt64Array.from(Array<readonly number[]>(rows).fill(ids).flat(), BigInt);
    return { dtype: 'I64', shape: [rows, ids.length], data };
  }
  throw new CaptureMismatch(
    `the probe wants the signal ${name}; the reference world has preview and token_ids`,
  );
}
