/** Images of the reference world on a canvas, and as PNG files. */
import { type Canvas, createCanvas } from '@napi-rs/canvas';

import { toPixels } from '../page/pixels.js';

/** An image [3, side, side] in [-1, 1], pixel by pixel. */
export function toCanvas(image: Float32Array, side: number): Canvas {
  const canvas = createCanvas(side, side);
  const context = canvas.getContext('2d');
  const data = context.createImageData(side, side);
  data.data.set(toPixels(image));
  context.putImageData(data, 0, 0);
  return canvas;
}

/** An image [3, side, side] in [-1, 1] as a PNG file. */
export function toPng(image: Float32Array, side: number): Buffer {
  return toCanvas(image, side).toBuffer('image/png');
}
