/** A PNG file as pixels. */
import { createCanvas, loadImage } from '@napi-rs/canvas';

export type Rgba = [red: number, green: number, blue: number, alpha: number];

export interface Png {
  readonly width: number;
  readonly height: number;
  readonly at: (x: number, y: number) => Rgba;
  /** Whether some pixel of a box has this colour. */
  readonly has: (colour: string, left: number, top: number, width: number, height: number) => boolean;
}

export async function readPng(file: Buffer): Promise<Png> {
  const image = await loadImage(file);
  const { width, height } = image;
  const context = createCanvas(width, height).getContext('2d');
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const at = (x: number, y: number): Rgba => {
    const first = (y * width + x) * 4;
    return [...data.subarray(first, first + 4)] as Rgba;
  };
  const hexAt = (x: number, y: number): string =>
    `#${at(x, y)
      .slice(0, 3)
      .map((value) => value.toString(16).padStart(2, '0'))
      .join('')}`;
  const has: Png['has'] = (colour, left, top, boxWidth, boxHeight) =>
    Array.from({ length: boxWidth * boxHeight }, (_, index) =>
      hexAt(left + (index % boxWidth), top + Math.floor(index / boxWidth)),
    ).includes(colour);
  return { width, height, at, has };
}
