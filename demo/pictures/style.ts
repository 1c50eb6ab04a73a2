/** What the pictures share: fonts, colours, and the shapes they are drawn with. Lengths are pixels; pages show two as one. */
import { createRequire } from 'node:module';

import { type Canvas, createCanvas, GlobalFonts, type SKRSContext2D } from '@napi-rs/canvas';

export type Context = SKRSContext2D;

/** A place on a picture. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export const COLOURS = {
  paper: '#ffffff',
  line: '#d9e0e2',
  ink: '#14202b',
  quiet: '#56646f',
  kept: '#0b7a4b',
  dropped: '#b23f28',
  missing: '#e9edee',
} as const;

export const MARGIN = 36;
const CORNER = 20;
const FONTS = [
  ['Inter', 'inter', 400],
  ['Inter', 'inter', 600],
  ['JetBrains Mono', 'jetbrains-mono', 400],
  ['JetBrains Mono', 'jetbrains-mono', 700],
] as const;

for (const [family, name, weight] of FONTS) {
  const file = `@fontsource/${name}/files/${name}-latin-${weight}-normal.woff2`;
  GlobalFonts.registerFromPath(createRequire(import.meta.url).resolve(file), family);
}

/** A sheet with round corners, transparent outside of them, so that it suits light and dark pages. */
export function createPaper(
  width: number,
  height: number,
  colour: string = COLOURS.paper,
): { canvas: Canvas; context: Context } {
  const canvas = createCanvas(width, height);
  const context = canvas.getContext('2d');
  context.beginPath();
  context.roundRect(1, 1, width - 2, height - 2, CORNER);
  context.fillStyle = colour;
  context.fill();
  context.strokeStyle = COLOURS.line;
  context.lineWidth = 2;
  context.stroke();
  return { canvas, context };
}

export interface TextStyle {
  readonly size: number;
  readonly isBold?: boolean;
  readonly colour?: string;
  readonly align?: 'left' | 'center' | 'right';
}

/** A line of text. @param y of its baseline. @returns its width. */
export function write(context: Context, text: string, x: number, y: number, style: TextStyle): number {
  context.font = fontOf(style);
  context.fillStyle = style.colour ?? COLOURS.ink;
  context.textAlign = style.align ?? 'left';
  context.fillText(text, x, y);
  return context.measureText(text).width;
}

/** The width of a line of text. */
export function widthOf(text: string, style: TextStyle): number {
  const context = createCanvas(1, 1).getContext('2d');
  context.font = fontOf(style);
  return context.measureText(text).width;
}

function fontOf({ size, isBold = false }: TextStyle): string {
  return `${isBold ? 600 : 400} ${size}px Inter`;
}

export function decimals(value: number): string {
  return value.toFixed(2);
}
