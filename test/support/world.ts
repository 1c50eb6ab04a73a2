/** A reference world without graphs, for tests: a small description, and a denoiser that knows the image. */
import type { Description } from '../../demo/world/description.js';
import type { Denoiser } from '../../demo/world/sampler.js';
import type { Denoised, EncodedCaption } from '../../demo/world/world.js';

export const DESCRIPTION: Description = {
  vocabulary: ['<pad>', '<begin>', 'a', 'two', 'cat', 'cats', 'on', 'blue', 'background'],
  pad_id: 0,
  begin_id: 1,
  max_tokens: 7,
  image: [3, 2, 2],
  steps: 25,
  shift: 0.67,
  guidance: 3,
  good_at: 0.8,
  capture: { layers: ['first', 'second', 'third'], height: 1, width: 2 },
  capture_id: '0123456789abcdef',
  files: {},
};

export const IMAGE_SIZE = 12;

export const CAPTION: EncodedCaption = {
  ids: [1, 2, 4],
  plainIds: [1, 2, 4],
  text: new Float32Array(3),
  emptyText: new Float32Array(3),
  textWidth: 1,
};

/** A denoiser whose velocity always leads straight to `target`, with any guidance. */
export function knowingDenoiser(target: Float32Array): Denoiser & { readonly calls: number[] } {
  const calls: number[] = [];
  const denoise = async (
    latents: Float32Array,
    timestep: number,
  ): Promise<{ conditional: Denoised; unconditional: Denoised }> => {
    const sigma = timestep / 1000;
    const rows = latents.length / IMAGE_SIZE;
    calls.push(rows);
    const velocity = latents.map((value, index) => (value - (target[index % IMAGE_SIZE] ?? NaN)) / sigma);
    const attention = new Float32Array(rows * 3 * 2 * 2).map((_, index) => index / 1000);
    return { conditional: { velocity, attention }, unconditional: { velocity, attention } };
  };
  return { description: DESCRIPTION, imageSize: IMAGE_SIZE, denoise, calls };
}
