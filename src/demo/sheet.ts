/** Owns the picture of a run: one column per candidate, what the probe saw above and what became of it below. */
import { Canvas, type Colour } from './canvas.js';
import { GLYPH_HEIGHT } from './font.js';

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

/** One candidate as the sheet shows it. */
export interface SheetColumn {
  readonly seed: number;
  readonly kept: boolean;
  /** The image that was expected at the step, [3, side, side] in [-1, 1]. */
  readonly preview: Float32Array;
  /** The finished image, where it was finished. */
  readonly image: Float32Array | undefined;
  readonly score: number | undefined;
  /** The true quality of the finished image. */
  readonly quality: number | undefined;
}

export interface SheetTitle {
  readonly caption: string;
  readonly step: number;
  readonly totalSteps: number;
  /** Pixels along one side of an image. */
  readonly side: number;
}

/** The sheet as a PNG file. */
export function drawSheet(
  columns: readonly SheetColumn[],
  { caption, step, totalSteps, side }: SheetTitle,
): Buffer {
  const picture = side * PICTURE_SCALE;
  const titleHeight = LINE + GAP;
  const rowHeight = LINE + picture + LINE + GAP;
  const width = 2 * MARGIN + columns.length * (picture + GAP) - GAP;
  const canvas = new Canvas(width, 2 * MARGIN + titleHeight + 2 * rowHeight, PAPER);
  canvas.text(MARGIN, MARGIN, caption, TEXT_SCALE, INK);
  const previews = MARGIN + titleHeight;
  const finals = previews + rowHeight;
  canvas.text(MARGIN, previews, `expected at step ${step} of ${totalSteps}`, TEXT_SCALE, QUIET);
  canvas.text(MARGIN, finals, 'finished', TEXT_SCALE, QUIET);
  for (const [index, column] of columns.entries()) {
    const left = MARGIN + index * (picture + GAP);
    drawPreview(canvas, column, left, previews + LINE, side);
    drawFinal(canvas, column, left, finals + LINE, side);
  }
  return canvas.toPng();
}

function drawPreview(canvas: Canvas, column: SheetColumn, left: number, top: number, side: number): void {
  const picture = side * PICTURE_SCALE;
  canvas.picture(left, top, column.preview, side, PICTURE_SCALE, column.kept ? 1 : FADED);
  if (column.kept) canvas.frame(left, top, picture, picture, FRAME, KEPT);
  else canvas.cross(left, top, picture, CROSS, DROPPED);
  const score = column.score === undefined ? 'no score' : `score ${column.score.toFixed(2)}`;
  label(canvas, left, top + picture, score, column.kept ? KEPT : DROPPED);
}

function drawFinal(canvas: Canvas, column: SheetColumn, left: number, top: number, side: number): void {
  const picture = side * PICTURE_SCALE;
  if (column.image) canvas.picture(left, top, column.image, side, PICTURE_SCALE, column.kept ? 1 : FADED);
  else canvas.fill(left, top, picture, picture, EMPTY);
  if (column.kept) canvas.frame(left, top, picture, picture, FRAME, KEPT);
  const quality = column.quality === undefined ? 'not finished' : `quality ${column.quality.toFixed(2)}`;
  label(canvas, left, top + picture, quality, column.quality === undefined ? QUIET : INK);
}

function label(canvas: Canvas, left: number, top: number, text: string, colour: Colour): void {
  canvas.text(left, top + 3 * TEXT_SCALE, text, TEXT_SCALE, colour);
}
