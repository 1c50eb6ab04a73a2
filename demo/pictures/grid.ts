/**
 * A group as a grid: a column for each sample, with a row of previews for each step at which the service was asked, and the
 * finished images below. Samples that lived longer come first, and of those the ones with a higher last score.
 */
import type { DrawnSample } from '../drawing/draw-group.js';
import { toCanvas } from './image.js';
import { COLOURS, type Context, decimals, write } from './style.js';

const GAP = 10;
const SEED_LINE = 34;
const HEADING_LINE = 44;
const LABEL_LINE = 40;
const ROW_GAP = 26;
const TEXT = 24;
const FRAME = 6;
const CORNER = 8;
const FADED = 0.4;

export interface GridFacts {
  /** The steps at which the service was asked. */
  readonly steps: readonly number[];
  readonly totalSteps: number;
  /** Pixels along one side of an image. */
  readonly side: number;
}

interface Cell {
  readonly left: number;
  readonly top: number;
  readonly size: number;
}

/** @param size of a picture, in pixels. */
export function gridSize(
  samples: number,
  { steps }: GridFacts,
  size: number,
): [width: number, height: number] {
  const row = HEADING_LINE + size + LABEL_LINE;
  return [samples * (size + GAP) - GAP, SEED_LINE + (steps.length + 1) * (row + ROW_GAP) - ROW_GAP];
}

/** @param size of a picture, in pixels. */
export function drawGrid(
  context: Context,
  samples: readonly DrawnSample[],
  facts: GridFacts,
  { left, top, size }: Cell,
): void {
  const { steps, totalSteps, side } = facts;
  const columns = inOrder(samples);
  const rowHeight = HEADING_LINE + size + LABEL_LINE + ROW_GAP;
  const best = Math.max(
    ...samples.flatMap(({ droppedAt, quality = -1 }) => (droppedAt === null ? quality : [])),
  );
  const drawRow = (
    row: number,
    heading: string,
    note: string,
    draw: (sample: DrawnSample, cell: Cell) => void,
  ) => {
    const y = top + SEED_LINE + row * rowHeight;
    const width = write(context, heading, left, y + TEXT, { size: TEXT, isBold: true });
    write(context, note, left + width + 14, y + TEXT, { size: TEXT, colour: COLOURS.quiet });
    for (const [index, sample] of columns.entries())
      draw(sample, { left: left + index * (size + GAP), top: y + HEADING_LINE, size });
  };
  for (const [index, { seed }] of columns.entries()) {
    const middle = left + index * (size + GAP) + size / 2;
    write(context, `seed ${seed}`, middle, top + 20, { size: 20, colour: COLOURS.quiet, align: 'center' });
  }
  for (const [row, step] of steps.entries()) {
    const asked = columns.filter(({ answers }) => answers.some((answer) => answer.step === step));
    const kept = asked.filter(({ droppedAt }) => droppedAt !== step).length;
    drawRow(
      row,
      `Step ${step} of ${totalSteps}`,
      `the expected images and their scores: ${kept} of ${asked.length} kept`,
      (sample, cell) => drawPreview(context, sample, step, side, cell),
    );
  }
  drawRow(steps.length, 'Finished', noteOnFinished(columns), (sample, cell) =>
    drawFinal(context, sample, sample.droppedAt === null && sample.quality === best, side, cell),
  );
}

function inOrder(samples: readonly DrawnSample[]): DrawnSample[] {
  const life = ({ droppedAt }: DrawnSample): number => droppedAt ?? Infinity;
  const score = ({ answers }: DrawnSample): number => answers.at(-1)?.result?.score ?? 0;
  return samples.toSorted((left, right) =>
    life(left) === life(right) ? score(right) - score(left) : life(right) > life(left) ? 1 : -1,
  );
}

function noteOnFinished(samples: readonly DrawnSample[]): string {
  const dropped = samples.filter(({ droppedAt }) => droppedAt !== null);
  const isComplete = dropped.length > 0 && dropped.every(({ image }) => image);
  return `the true quality${isComplete ? '; pale: what the dropped ones would have become' : ''}`;
}

function drawPreview(
  context: Context,
  { answers, droppedAt }: DrawnSample,
  step: number,
  side: number,
  cell: Cell,
): void {
  const answer = answers.find((candidate) => candidate.step === step);
  if (!answer) return;
  const isKept = droppedAt !== step;
  drawImage(context, answer.preview, side, cell, isKept);
  if (isKept) drawFrame(context, cell);
  else drawCross(context, cell);
  const { result } = answer;
  label(context, cell, result ? decimals(result.score) : 'no score', isKept ? COLOURS.kept : COLOURS.dropped);
}

function drawFinal(
  context: Context,
  { droppedAt, image, quality }: DrawnSample,
  isBest: boolean,
  side: number,
  cell: Cell,
): void {
  const isKept = droppedAt === null;
  if (image) drawImage(context, image, side, cell, isKept);
  else fillCell(context, cell);
  if (isKept) drawFrame(context, cell);
  if (quality === undefined) label(context, cell, 'stopped', COLOURS.quiet, false);
  else
    label(
      context,
      cell,
      `${decimals(quality)}${isBest ? ' best' : ''}`,
      isKept ? COLOURS.kept : COLOURS.quiet,
    );
}

function drawImage(context: Context, image: Float32Array, side: number, cell: Cell, isKept: boolean): void {
  context.save();
  outline(context, cell, 0);
  context.clip();
  context.globalAlpha = isKept ? 1 : FADED;
  context.imageSmoothingQuality = 'high';
  context.drawImage(toCanvas(image, side), cell.left, cell.top, cell.size, cell.size);
  context.restore();
}

function fillCell(context: Context, cell: Cell): void {
  outline(context, cell, 0);
  context.fillStyle = COLOURS.missing;
  context.fill();
}

function drawFrame(context: Context, cell: Cell): void {
  outline(context, cell, FRAME / 2);
  context.strokeStyle = COLOURS.kept;
  context.lineWidth = FRAME;
  context.stroke();
}

/** A badge with a cross, in the corner. */
function drawCross(context: Context, { left, top, size }: Cell): void {
  const radius = size / 8;
  const [x, y] = [left + size - radius - 6, top + radius + 6];
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = COLOURS.dropped;
  context.fill();
  const arm = radius * 0.42;
  context.beginPath();
  context.moveTo(x - arm, y - arm);
  context.lineTo(x + arm, y + arm);
  context.moveTo(x - arm, y + arm);
  context.lineTo(x + arm, y - arm);
  context.strokeStyle = COLOURS.paper;
  context.lineWidth = radius / 4;
  context.lineCap = 'round';
  context.stroke();
}

function outline(context: Context, { left, top, size }: Cell, inset: number): void {
  context.beginPath();
  context.roundRect(left + inset, top + inset, size - 2 * inset, size - 2 * inset, CORNER);
}

function label(
  context: Context,
  { left, top, size }: Cell,
  text: string,
  colour: string,
  isBold = true,
): void {
  write(context, text, left + size / 2, top + size + 30, { size: TEXT, isBold, colour, align: 'center' });
}
