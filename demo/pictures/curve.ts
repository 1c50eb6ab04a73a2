/** The chart of quality against denoiser calls: plans, best-of-k and a random seed. */
import { type Box, COLOURS, type Context, write } from './style.js';

export type Point = readonly [calls: number, quality: number];

export interface QualityCurve {
  /** How many captions its values are means over. */
  readonly captions: number;
  /** In ascending order of calls. */
  readonly plans: readonly Point[];
  readonly bestOfK: readonly Point[];
  readonly random: number;
}

const TEXT = 22;
const LEFT = 56;
const TOP = 96;
const BOTTOM = 74;
const CALL_TICKS = 50;
const QUALITY_TICKS = [0.02, 0.05, 0.1, 0.2];
const MOST_QUALITY_TICKS = 6;
const QUIET = { size: TEXT, colour: COLOURS.quiet };

/** @param calls of the plan that the picture shows. */
export function drawCurve(context: Context, curve: QualityCurve, calls: number, box: Box): void {
  const { plans, bestOfK, random, captions } = curve;
  const lastCalls = Math.max(...[...plans, ...bestOfK].map(([x]) => x));
  const ticks = qualityTicks([...plans, ...bestOfK].map(([, quality]) => quality));
  const [low, high] = [ticks[0]!, ticks.at(-1)!];
  const [left, right] = [box.left + LEFT, box.left + box.width];
  const [top, bottom] = [box.top + TOP, box.top + box.height - BOTTOM];
  const at = ([x, quality]: Point): Point => [
    left + (x / lastCalls) * (right - left),
    bottom - ((quality - low) / (high - low)) * (bottom - top),
  ];

  write(context, 'Quality against denoiser calls', box.left, box.top + 24, { size: 24, isBold: true });
  write(context, `mean over ${captions} test captions`, box.left, box.top + 56, QUIET);
  for (const tick of ticks) {
    const [, y] = at([0, tick]);
    stroke(
      context,
      [
        [left, y],
        [right, y],
      ],
      { colour: COLOURS.line, width: 2 },
    );
    write(context, tick.toFixed(decimalsOf(ticks)), left - 12, y + 8, { ...QUIET, align: 'right' });
  }
  for (let tick = 0; tick <= lastCalls; tick += CALL_TICKS)
    write(context, String(tick), at([tick, low])[0], bottom + 34, { ...QUIET, align: 'center' });
  write(context, 'denoiser calls', (left + right) / 2, bottom + 66, { ...QUIET, align: 'center' });

  const chosen = plans.find(([x]) => x === calls);
  if (chosen)
    stroke(context, [at(chosen), at([calls, low])], { colour: COLOURS.kept, width: 3, dash: [4, 8] });
  stroke(context, [at([0, random]), at([lastCalls, random])], {
    colour: COLOURS.quiet,
    width: 4,
    dash: [4, 10],
  });
  stroke(context, bestOfK.map(at), { colour: COLOURS.quiet, width: 5 });
  stroke(context, plans.map(at), { colour: COLOURS.kept, width: 6 });
  for (const point of plans) dot(context, at(point), point === chosen ? 13 : 8);

  const nameOf = (text: string, [x, y]: Point, colour: string, align: 'left' | 'right' | 'center') =>
    write(context, text, x, y, { size: TEXT, isBold: true, colour, align });
  const dearest = plans.at(-1);
  if (dearest) {
    const [x, y] = at(dearest);
    nameOf('plans', [x, y - 26], COLOURS.kept, 'center');
  }
  const [kX, kY] = at(bestOfK.at(-1)!);
  nameOf('best-of-k', [kX, kY + 62], COLOURS.quiet, 'right');
  nameOf('random seed', [right, at([0, random])[1] - 14], COLOURS.quiet, 'right');
}

/** Round values that enclose all others. */
function qualityTicks(values: readonly number[]): number[] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const counts = (unit: number): [first: number, last: number] => [
    Math.floor(low / unit),
    Math.ceil(high / unit),
  ];
  const unit =
    QUALITY_TICKS.find((candidate) => {
      const [first, last] = counts(candidate);
      return last - first < MOST_QUALITY_TICKS;
    }) ?? 1;
  const [first, last] = counts(unit);
  return Array.from({ length: Math.max(2, last - first + 1) }, (_, index) => (first + index) * unit);
}

function decimalsOf([first = 0, second = 1]: readonly number[]): number {
  return second - first < 0.09 ? 2 : 1;
}

interface Line {
  readonly colour: string;
  readonly width: number;
  readonly dash?: number[];
}

function stroke(context: Context, points: readonly Point[], { colour, width, dash = [] }: Line): void {
  context.save();
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.lineJoin = 'round';
  context.lineCap = 'round';
  context.setLineDash(dash);
  context.stroke();
  context.restore();
}

function dot(context: Context, [x, y]: Point, radius: number): void {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = COLOURS.kept;
  context.fill();
  context.strokeStyle = COLOURS.paper;
  context.lineWidth = 4;
  context.stroke();
}
