/** A canvas of RGB pixels with rectangles, pictures, crosses and text, encoded as PNG. */
import { PNG } from 'pngjs';

import { GLYPH_HEIGHT, GLYPH_WIDTH, isInk } from './font.js';

export type Colour = readonly [red: number, green: number, blue: number];

const CHANNELS = 4;
const OPAQUE = 255;
/** The distance from one character to the next, in pixels of the font. */
const ADVANCE = GLYPH_WIDTH + 1;

export class Canvas {
  readonly width: number;
  readonly height: number;
  readonly #png: PNG;

  constructor(width: number, height: number, background: Colour) {
    this.width = width;
    this.height = height;
    this.#png = new PNG({ width, height });
    this.fill(0, 0, width, height, background);
  }

  fill(left: number, top: number, width: number, height: number, colour: Colour): void {
    for (let y = top; y < top + height; y += 1) {
      for (let x = left; x < left + width; x += 1) this.#set(x, y, colour);
    }
  }

  /** The outline of a rectangle, inside its edges. */
  frame(left: number, top: number, width: number, height: number, thickness: number, colour: Colour): void {
    this.fill(left, top, width, thickness, colour);
    this.fill(left, top + height - thickness, width, thickness, colour);
    this.fill(left, top, thickness, height, colour);
    this.fill(left + width - thickness, top, thickness, height, colour);
  }

  /** The two diagonals of a square. */
  cross(left: number, top: number, side: number, thickness: number, colour: Colour): void {
    for (let along = 0; along <= side - thickness; along += 1) {
      this.fill(left + along, top + along, thickness, thickness, colour);
      this.fill(left + side - thickness - along, top + along, thickness, thickness, colour);
    }
  }

  /**
   * A picture [3, side, side] in [-1, 1], each pixel a square of `scale` pixels.
   * @param strength in [0, 1]: 0 is white, 1 the picture itself.
   */
  picture(left: number, top: number, image: Float32Array, side: number, scale: number, strength = 1): void {
    const plane = side * side;
    for (let pixel = 0; pixel < plane; pixel += 1) {
      const channel = (index: number): number => {
        const value = (image[index * plane + pixel]! + 1) * 127.5;
        return Math.round(255 + (value - 255) * strength);
      };
      const x = left + (pixel % side) * scale;
      const y = top + Math.floor(pixel / side) * scale;
      this.fill(x, y, scale, scale, [channel(0), channel(1), channel(2)]);
    }
  }

  /** A line of text in capital letters. */
  text(left: number, top: number, text: string, scale: number, colour: Colour): void {
    for (let index = 0; index < text.length; index += 1) {
      for (let row = 0; row < GLYPH_HEIGHT; row += 1) {
        for (let column = 0; column < GLYPH_WIDTH; column += 1) {
          if (!isInk(text.charAt(index), row, column)) continue;
          const x = left + (index * ADVANCE + column) * scale;
          this.fill(x, top + row * scale, scale, scale, colour);
        }
      }
    }
  }

  toPng(): Buffer {
    return PNG.sync.write(this.#png);
  }

  #set(x: number, y: number, [red, green, blue]: Colour): void {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return;
    this.#png.data.set([red, green, blue, OPAQUE], (y * this.width + x) * CHANNELS);
  }
}

/** The width of a line of text, in pixels. */
export function textWidth(text: string, scale: number): number {
  return (text.length * ADVANCE - 1) * scale;
}
