/**
 * The sampler: rectified flow from noise to image, in Euler steps with classifier-free guidance. Samples can be removed from
 * the batch between two steps without an effect on the others.
 */
import { clampColour, joinRows, rowsOf } from './images.js';
import type { EncodedCaption, World } from './world.js';

/** The timestep at noise level 1. */
const MAX_TIMESTEP = 1000;

/** What a step computed from the latents before its update. */
export interface Step {
  /** The number of the step, from 1. */
  readonly step: number;
  /** The noise level, from 1 to 0. */
  readonly sigma: number;
  /** The backbone's own number. */
  readonly timestep: number;
  /** [rows, layers, tokens, height, width], conditional, without the begin token. */
  readonly attention: Float32Array;
  /** The expected image (x0), [rows, ...image] in [-1, 1]. */
  readonly preview: Float32Array;
  /** Mean square of conditional minus unconditional velocity, [rows]. */
  readonly guidanceDifference: Float32Array;
}

export interface StepOptions {
  readonly rowsAtOnce?: number | undefined;
  readonly onRows?: ((firstRow: number, previews: Float32Array) => void) | undefined;
}

/** The arrays of some rows of a step. */
type Part = Pick<Step, 'attention' | 'preview' | 'guidanceDifference'> & { readonly velocity: Float32Array };

/** The members of the world that a sampler needs. */
export type Denoiser = Pick<World, 'denoise' | 'description' | 'imageSize'>;

/** The noise levels at the input of each step, and 0 at the end; `shift` as in diffusers' FlowMatchEulerDiscreteScheduler. */
export function noiseLevels(steps: number, shift: number): number[] {
  return Array.from({ length: steps + 1 }, (_, index) => {
    const time = 1 - index / steps;
    return (shift * time) / (1 + (shift - 1) * time);
  });
}

/** Denoises a batch of samples of one caption. */
export class Sampler {
  readonly #world: Denoiser;
  readonly #caption: EncodedCaption;
  readonly #sigmas: readonly number[];
  #latents: Float32Array;
  #step = 0;

  /** @param latents [rows, ...image], standard normal. */
  constructor(world: Denoiser, caption: EncodedCaption, latents: Float32Array) {
    this.#world = world;
    this.#caption = caption;
    this.#latents = latents;
    this.#sigmas = noiseLevels(world.description.steps, world.description.shift);
  }

  /** The number of samples in the batch. */
  get rows(): number {
    return this.#latents.length / this.#world.imageSize;
  }

  get isFinished(): boolean {
    return this.#step === this.#world.description.steps;
  }

  /** [rows, ...image] in [-1, 1]. */
  get images(): Float32Array {
    return this.#latents.map(clampColour);
  }

  /**
   * Takes one step.
   * @param options.rowsAtOnce how many rows the denoiser gets at once; all when omitted.
   * @param options.onRows called with the number of the first row and the previews of each of these parts.
   */
  async next({ rowsAtOnce = this.rows, onRows }: StepOptions = {}): Promise<Step> {
    const { imageSize, description } = this.#world;
    const sigma = this.#sigmas[this.#step] ?? 0;
    const nextSigma = this.#sigmas[this.#step + 1] ?? 0;
    const timestep = sigma * MAX_TIMESTEP;
    const parts: Part[] = [];
    for (let row = 0; row < this.rows; row += rowsAtOnce) {
      const latents = this.#latents.subarray(row * imageSize, (row + rowsAtOnce) * imageSize);
      const { conditional, unconditional } = await this.#world.denoise(latents, timestep, this.#caption);
      const velocity = guide(conditional.velocity, unconditional.velocity, description.guidance);
      const preview = latents.map((value, index) => clampColour(value - sigma * velocity[index]!));
      onRows?.(row, preview);
      const guidanceDifference = meanSquares(conditional.velocity, unconditional.velocity, imageSize);
      parts.push({ attention: conditional.attention, velocity, preview, guidanceDifference });
    }
    const joined = (name: keyof Part): Float32Array =>
      parts.length === 1 ? parts[0]![name] : joinRows(parts.map((part) => part[name]));
    const velocity = joined('velocity');
    this.#latents = this.#latents.map((value, index) => value + (nextSigma - sigma) * velocity[index]!);
    this.#step += 1;
    return {
      step: this.#step,
      sigma,
      timestep,
      attention: joined('attention'),
      preview: joined('preview'),
      guidanceDifference: joined('guidanceDifference'),
    };
  }

  /** Removes all rows but these, which get this order. */
  keep(rows: readonly number[]): void {
    this.#latents = rowsOf(this.#latents, rows, this.#world.imageSize);
  }
}

function guide(conditional: Float32Array, unconditional: Float32Array, guidance: number): Float32Array {
  return unconditional.map((value, index) => value + guidance * (conditional[index]! - value));
}

/** The mean square of the difference of each row of `size` values. */
function meanSquares(one: Float32Array, other: Float32Array, size: number): Float32Array {
  const means = new Float32Array(one.length / size);
  for (const [index, value] of one.entries()) {
    means[Math.floor(index / size)]! += (value - other[index]!) ** 2 / size;
  }
  return means;
}
