/**
 * Draws the contact sheet: a column for each sample, with a row of previews for each step at which the service was asked, and
 * the finished images below.
 */
import { Canvas, type Colour, textWidth } from './canvas.js';
import { GLYPH_HEIGHT } from './font.js';
import type { DrawnSample, SampleAnswer } from './drawing/draw-group.js';

const PICTURE_SCALE = 3;
const TEXT_SCALE = 2;
const MARGIN = 16;
const GAP = 12;
const LINE = (GLYPH_HEIGHT + 3) * TEXT_SCALE;
const FRAME = 4;
const CROSS = 5;
const FADED = 0.45;

const PAPER: Colour = [250, 250, 248];
const INK: Colour = [40, 42, 48];
const QUIET: Colour = [140, 142, 150];
const EMPTY: Colour = [228, 228, 226];
const KEPT: Colour = [34, 150, 84];
const DROPPED: Colour = [205, 52, 52];

/** A sample with its place among the images that were not dropped. */
export type SheetColumn = Omit<DrawnSample, 'seed'> & { readonly rank: number | null };

export interface SheetTitle {
  readonly caption: string;
  /** The steps at which the service was asked. */
  readonly steps: readonly number[];
  readonly totalSteps: number;
  /** Pixels along one side of an image. */
  readonly side: number;
}

/** The sheet as a PNG file. */
export function drawSheet(
  columns: readonly SheetColumn[],
  { caption, steps, totalSteps, side }: SheetTitle,
): Buffer {
  const picture = side * PICTURE_SCALE;
  const titleHeight = LINE + GAP;
  const rowHeight = LINE + picture + LINE + GAP;
  const columnsWidth = columns.length * (picture + GAP) - GAP;
  const width = 2 * MARGIN + Math.max(columnsWidth, textWidth(caption, TEXT_SCALE));
  const canvas = new Canvas(width, 2 * MARGIN + titleHeight + (steps.length + 1) * rowHeight, PAPER);
  canvas.text(MARGIN, MARGIN, caption, TEXT_SCALE, INK);
  const drawRow = (
    row: number,
    heading: string,
    draw: (column: SheetColumn, left: number, top: number) => void,
  ): void => {
    const top = MARGIN + titleHeight + row * rowHeight;
    canvas.text(MARGIN, top, heading, TEXT_SCALE, QUIET);
    for (const [index, column] of columns.entries())
      draw(column, MARGIN + index * (picture + GAP), top + LINE);
  };
  for (const [row, step] of steps.entries()) {
    drawRow(row, `expected at step ${step} of ${totalSteps}`, ({ answers, droppedAt }, left, top) => {
      const answer = answers.find((candidate) => candidate.step === step);
      if (answer) drawPreview(canvas, answer, droppedAt !== step, left, top, side);
    });
  }
  drawRow(steps.length, 'finished', (column, left, top) => drawFinal(canvas, column, left, top, side));
  return canvas.toPng();
}

function drawPreview(
  canvas: Canvas,
  { preview, result }: SampleAnswer,
  isKept: boolean,
  left: number,
  top: number,
  side: number,
): void {
  const picture = side * PICTURE_SCALE;
  canvas.picture(left, top, preview, side, PICTURE_SCALE, isKept ? 1 : FADED);
  if (isKept) canvas.frame(left, top, picture, picture, FRAME, KEPT);
  else canvas.cross(left, top, picture, CROSS, DROPPED);
  const score = result ? `score ${result.score.toFixed(2)}` : 'no score';
  label(canvas, left, top + picture, score, isKept ? KEPT : DROPPED);
}

function drawFinal(canvas: Canvas, column: SheetColumn, left: number, top: number, side: number): void {
  const picture = side * PICTURE_SCALE;
  const { droppedAt, image, quality, rank } = column;
  const isKept = droppedAt === null;
  if (image) canvas.picture(left, top, image, side, PICTURE_SCALE, isKept ? 1 : FADED);
  else canvas.fill(left, top, picture, picture, EMPTY);
  if (isKept) canvas.frame(left, top, picture, picture, FRAME, KEPT);
  if (quality === undefined) return label(canvas, left, top + picture, 'not finished', QUIET);
  const text = `quality ${quality.toFixed(2)}${rank === null ? '' : `, rank ${rank}`}`;
  label(canvas, left, top + picture, text, INK);
}

function label(canvas: Canvas, left: number, top: number, text: string, colour: Colour): void {
  canvas.text(left, top + 3 * TEXT_SCALE, text, TEXT_SCALE, colour);
}
