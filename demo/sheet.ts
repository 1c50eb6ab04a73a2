/** Draws the sheet of candidates: a column for each, the preview at the scored step above and the finished image below. */
import { Canvas, type Colour, textWidth } from './canvas.js';
import { GLYPH_HEIGHT } from './font.js';
import type { Candidate } from './draw-candidates.js';

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

/** The members of a candidate that the sheet shows. */
export type SheetColumn = Pick<Candidate, 'decision' | 'preview' | 'image' | 'score' | 'quality'>;

/** The heading of the sheet. */
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
  const columnsWidth = columns.length * (picture + GAP) - GAP;
  const contentWidth = Math.max(columnsWidth, textWidth(caption, TEXT_SCALE));
  const canvas = new Canvas(2 * MARGIN + contentWidth, 2 * MARGIN + titleHeight + 2 * rowHeight, PAPER);
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
  const isKept = column.decision === 'keep';
  canvas.picture(left, top, column.preview, side, PICTURE_SCALE, isKept ? 1 : FADED);
  if (isKept) canvas.frame(left, top, picture, picture, FRAME, KEPT);
  else canvas.cross(left, top, picture, CROSS, DROPPED);
  const score = column.score === undefined ? 'no score' : `score ${column.score.toFixed(2)}`;
  label(canvas, left, top + picture, score, isKept ? KEPT : DROPPED);
}

function drawFinal(canvas: Canvas, column: SheetColumn, left: number, top: number, side: number): void {
  const picture = side * PICTURE_SCALE;
  const isKept = column.decision === 'keep';
  if (column.image) canvas.picture(left, top, column.image, side, PICTURE_SCALE, isKept ? 1 : FADED);
  else canvas.fill(left, top, picture, picture, EMPTY);
  if (isKept) canvas.frame(left, top, picture, picture, FRAME, KEPT);
  const quality = column.quality === undefined ? 'not finished' : `quality ${column.quality.toFixed(2)}`;
  label(canvas, left, top + picture, quality, column.quality === undefined ? QUIET : INK);
}

function label(canvas: Canvas, left: number, top: number, text: string, colour: Colour): void {
  canvas.text(left, top + 3 * TEXT_SCALE, text, TEXT_SCALE, colour);
}
