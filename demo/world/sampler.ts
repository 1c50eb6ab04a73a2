/**
 * Owns the sampler: rectified flow from noise to image in Euler steps with classifier-free guidance.
 * Samples can leave the batch between two steps; the others then go on as if they had been alone.
 */
import { clampColour } from './colour.js';
import type { EncodedCaption, World } from './world.js';

/** The timestep is the noise level times this. */
const TIMESTEPS = 1000;

/** What one step showed before its update. */
export interface Step {
  /** From 1. */
  readonly step: number;
  /** The noise level, from 1 to 0. */
  readonly sigma: number;
  /** The backbone's own number. */
  readonly timestep: number;
  /** [rows, layers, tokens, height, width] of the conditional half. */
  readonly attention: Float32Array;
  /** [rows, ...image] in [-1, 1]: the image expected from here. */
  readonly preview: Float32Array;
}

/** The part of the world that a sampler needs. */
export type Denoiser = Pick<World, 'denoise' | 'description' | 'imageSize'>;

/** Noise levels at the input of each step, and 0 at the end. */
export function noiseLevels(steps: number, shift: number): number[] {
  return Array.from({ length: steps + 1 }, (_, index) => {
    const time = 1 - index / steps;
    return (shift * time) / (1 + (shift - 1) * time);
  });
}

/** A batch of samples of one caption on their way from noise to images. */
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

  /** Samples still in the batch. */
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

  /** Takes one step. */
  async next(): Promise<Step> {
    const sigma = this.#sigmas[this.#step] ?? 0;
    const following = this.#sigmas[this.#step + 1] ?? 0;
    const timestep = sigma * TIMESTEPS;
    const { conditional, unconditional } = await this.#world.denoise(this.#latents, timestep, this.#caption);
    const velocity = guided(conditional.velocity, unconditional.velocity, this.#world.description.guidance);
    const latents = this.#latents;
    const preview = latents.map((value, index) => clampColour(value - sigma * velocity[index]!));
    this.#latents = latents.map((value, index) => value + (following - sigma) * velocity[index]!);
    this.#step += 1;
    return { step: this.#step, sigma, timestep, attention: conditional.attention, preview };
  }

  /** Goes on with these rows alone, in this order. */
  keep(rows: readonly number[]): void {
    const size = this.#world.imageSize;
    const kept = new Float32Array(rows.length * size);
    for (const [place, row] of rows.entries()) {
      kept.set(this.#latents.subarray(row * size, (row + 1) * size), place * size);
    }
    this.#latents = kept;
  }
}

function guided(conditional: Float32Array, unconditional: Float32Array, guidance: number): Float32Array {
  return conditional.map((value, index) => {
    const without = unconditional[index]!;
    return without + guidance * (value - without);
  });
}
