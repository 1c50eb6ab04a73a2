/** The contact sheet: the caption, and below it the grid of the group. */
import type { DrawnSample } from '../drawing/draw-group.js';
import { drawGrid, type GridFacts, gridSize } from './grid.js';
import { createPaper, MARGIN, widthOf, write } from './style.js';

/** Three pixels for each pixel of an image of the reference world. */
const PICTURE = 192;
const TITLE = { size: 32, isBold: true };
const TITLE_LINE = 56;

/** The sheet as a PNG file. */
export function drawSheet(caption: string, samples: readonly DrawnSample[], facts: GridFacts): Buffer {
  const [width, height] = gridSize(samples.length, facts, PICTURE);
  const { canvas, context } = createPaper(
    2 * MARGIN + Math.ceil(Math.max(width, widthOf(caption, TITLE))),
    2 * MARGIN + TITLE_LINE + height,
  );
  write(context, caption, MARGIN, MARGIN + TITLE.size, TITLE);
  drawGrid(context, samples, facts, { left: MARGIN, top: MARGIN + TITLE_LINE, size: PICTURE });
  return canvas.toBuffer('image/png');
}
