/** Images and attention maps of the reference world, for the page. */

const CHANNELS = 4;
const OPAQUE = 255;

/** An image [3, height, width] in [-1, 1] as RGBA. */
export function toPixels(image: Float32Array): Uint8ClampedArray<ArrayBuffer> {
  const plane = image.length / 3;
  const pixels = new Uint8ClampedArray(plane * CHANNELS).fill(OPAQUE);
  for (let pixel = 0; pixel < plane; pixel += 1)
    for (let channel = 0; channel < 3; channel += 1)
      pixels[pixel * CHANNELS + channel] = (image[channel * plane + pixel]! + 1) * 127.5;
  return pixels;
}

/**
 * The mean over layers of one sample's attention.
 * @param attention [layers, tokens, height, width]
 * @returns [tokens, height, width]
 */
export function meanOverLayers(attention: Float32Array, layers: number): Float32Array<ArrayBuffer> {
  const size = attention.length / layers;
  const mean = new Float32Array(size);
  for (let layer = 0; layer < layers; layer += 1)
    for (let index = 0; index < size; index += 1) mean[index]! += attention[layer * size + index]! / layers;
  return mean;
}

/**
 * The map of one token as RGBA: black, and the less attention the more opaque, so that what was attended to shows through.
 * @param maps [tokens, positions]
 */
export function toShade(
  maps: Float32Array,
  token: number,
  positions: number,
): Uint8ClampedArray<ArrayBuffer> {
  const map = maps.subarray(token * positions, (token + 1) * positions);
  const most = map.reduce((left, right) => Math.max(left, right), 0) || 1;
  const pixels = new Uint8ClampedArray(positions * CHANNELS);
  for (const [position, value] of map.entries())
    pixels[position * CHANNELS + 3] = OPAQUE * MOST_SHADE * (1 - value / most);
  return pixels;
}

const MOST_SHADE = 0.88;
