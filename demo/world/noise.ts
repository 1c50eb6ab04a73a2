/**
 * Owns the noise that images start from: a prompt and a seed always give the same.
 * The Box-Muller transform makes uniform numbers normal.
 */
import { uniformNumbers } from './uniform.js';

/** Independent standard normal values. */
export function initialNoise(prompt: string, seed: number, length: number): Float32Array {
  const uniform = uniformNumbers(`${prompt}\n${seed}`);
  const noise = new Float32Array(length);
  for (let index = 0; index < length; index += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    noise[index] = radius * Math.cos(angle);
    if (index + 1 < length) noise[index + 1] = radius * Math.sin(angle);
  }
  return noise;
}
