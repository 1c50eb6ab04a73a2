/** Owns how a step of the reference world becomes the input of a probe: the layers and signals that its manifest declares. */
import type { Manifest } from '../engine/manifest.js';
import type { ScoreInput } from '../client/request.js';
import { numberToF16 } from '../wire/dtype.js';
import type { TensorData } from '../wire/safetensors-writer.js';
import type { Description } from './description.js';
import type { Step } from './sampler.js';
import { type EncodedCaption, wholeColour } from './world.js';

/** What of a manifest says how to capture. */
export type CaptureContract = Pick<Manifest, 'inputs'> & { readonly capture: { readonly layers: readonly string[] } };

/**
 * The probe's input for all rows of a step.
 * @throws {Error} when the probe wants a layer or a signal that the reference world does not have.
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
  const layerSize = tokens * height * width;
  const rows = attention.length / (capture.layers.length * layerSize);
  const data = new Uint16Array(rows * layers.length * layerSize);
  let start = 0;
  for (let row = 0; row < rows; row += 1) {
    for (const layer of layers) {
      const index = capture.layers.indexOf(layer);
      if (index === -1) throw new Error(`the probe reads layer ${layer}; there are ${capture.layers.join(', ')}`);
      const from = (row * capture.layers.length + index) * layerSize;
      for (let element = 0; element < layerSize; element += 1) data[start + element] = numberToF16(attention[from + element]!);
      start += layerSize;
    }
  }
  return { dtype: 'F16', shape: [rows, layers.length, tokens, height, width], data };
}

function signal(
  name: string,
  step: Step,
  caption: EncodedCaption,
  rows: number,
  { image }: Description,
): TensorData {
  if (name === 'preview') {
    return { dtype: 'F16', shape: [rows, ...image], data: Uint16Array.from(step.preview, (value) => numberToF16(wholeColour(value))) };
  }
  if (name === 'token_ids') {
    const ids = caption.ids.slice(1);
    const data = BigInt64Array.from(Array<readonly number[]>(rows).fill(ids).flat(), BigInt);
    return { dtype: 'I64', shape: [rows, ids.length], data };
  }
  throw new Error(`the probe wants the signal ${name}; the reference world has preview and token_ids`);
}
