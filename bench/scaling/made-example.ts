/** Owns the requests of the scaling measurement: made-up groups of any number of tokens, of the form that a probe wants. */
import { numberToF16 } from '../../src/wire/dtype.js';
import type { Manifest } from '../../src/probe/manifest.js';
import { encodeSafetensors } from '../../clients/typescript/src/safetensors.js';

/** What the maps of one place sum to; the rest went to padding and the begin token. */
const MASS = 0.9;
/** So many samples; single requests take one after the other. */
const SAMPLES = 8;

/** What is said of the probe's inputs and decision points. */
export type ExampleContract = Pick<Manifest, 'name' | 'capture' | 'capture_id' | 'decision_points'>;

/** A body of 8 samples with so many tokens each, at the probe's first decision point. Which values it holds costs nothing. */
export function madeExample(contract: ExampleContract, tokens: number): Uint8Array<ArrayBuffer> {
  const { name, capture, capture_id: captureId, decision_points: points } = contract;
  const { layers, height, width } = capture;
  const shape = [SAMPLES, layers.length, tokens, height, width];
  const values = shape.reduce((product, size) => product * size, 1);
  const attention = new Uint16Array(values).fill(numberToF16(MASS / tokens));
  const timestep = new Float32Array(SAMPLES).fill(points[0]?.timestep ?? 0);
  return encodeSafetensors(
    {
      attention: { dtype: 'F16', shape, data: attention },
      token_mask: { dtype: 'U8', shape: [SAMPLES, tokens], data: new Uint8Array(SAMPLES * tokens).fill(1) },
      timestep: { dtype: 'F32', shape: [SAMPLES], data: timestep },
    },
    { model: name, capture_id: captureId },
  );
}
