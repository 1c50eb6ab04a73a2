/** The first picture of the README: a group drawn by a plan, what it cost and brought, and the curve of quality against calls. */
import type { DrawnGroup } from '../drawing/draw-group.js';
import { compare } from '../page/app/account.js';
import { drawCurve, type QualityCurve } from './curve.js';
import { drawGrid, type GridFacts, gridSize } from './grid.js';
import { COLOURS, createPaper, decimals, MARGIN, widthOf, write } from './style.js';

/** Two pixels for each pixel of an image of the reference world. */
const PICTURE = 128;
const CURVE_WIDTH = 480;
const CURVE_GAP = 52;
const TITLE_LINE = 148;

/** The picture as a PNG file. @param group with an image and a quality for every sample. */
export function drawHero(
  caption: string,
  group: DrawnGroup,
  curve: QualityCurve,
  facts: Omit<GridFacts, 'steps'>,
): Buffer {
  const grid = { ...facts, steps: group.stages.map(({ step }) => step) };
  const [gridWidth, height] = gridSize(group.samples.length, grid, PICTURE);
  const { canvas, context } = createPaper(
    2 * MARGIN + gridWidth + CURVE_GAP + CURVE_WIDTH,
    2 * MARGIN + TITLE_LINE + height,
  );
  const top = MARGIN + TITLE_LINE;
  const title = { size: 36, isBold: true };
  const size = Math.min(title.size, (title.size * gridWidth) / widthOf(`“${caption}”`, title));
  write(context, `“${caption}”`, MARGIN, MARGIN + 34, { ...title, size });
  const [spent, beside] = accountLines(group, facts.totalSteps);
  write(context, spent, MARGIN, MARGIN + 80, { size: 24 });
  write(context, beside, MARGIN, MARGIN + 114, { size: 24, colour: COLOURS.quiet });
  drawGrid(context, group.samples, grid, { left: MARGIN, top, size: PICTURE });
  const left = MARGIN + gridWidth + CURVE_GAP;
  drawCurve(context, curve, group.calls, {
    left,
    top: MARGIN,
    width: CURVE_WIDTH,
    height: TITLE_LINE + height,
  });
  return canvas.toBuffer('image/png');
}

function accountLines({ samples, calls }: DrawnGroup, totalSteps: number): [spent: string, beside: string] {
  const qualityOf = (some: typeof samples): number[] => some.map(({ quality }) => quality!);
  const best = Math.max(...qualityOf(samples.filter(({ droppedAt }) => droppedAt === null)));
  const { k, bestOfK, random } = compare(qualityOf(samples), calls / totalSteps);
  return [
    `${calls} of ${samples.length * totalSteps} denoiser calls, best quality ${decimals(best)}.`,
    `Expected of best-of-${Number(k.toFixed(1))}, for as many calls: ${decimals(bestOfK)}; of a random seed: ${decimals(random)}.`,
  ];
}
