/** The budget: a slider below the curve of expected quality against denoiser calls. */
import { planWords } from '../../drawing/drawing-plan.js';
import type { PlanChoice } from '../plan-choices.js';
import { decimals, short } from './format.js';

interface BudgetProps {
  readonly choices: readonly PlanChoice[];
  readonly selected: PlanChoice | undefined;
  /** `name@version`; undefined without one. */
  readonly probe: string | undefined;
  readonly onSelect: (choice: PlanChoice) => void;
}

export function Budget({ choices, selected, probe, onSelect }: BudgetProps) {
  const index = selected ? choices.indexOf(selected) : 0;
  const text = selected
    ? `${short(selected.budget)} images' worth, ${selected.calls} denoiser calls`
    : 'none';
  return (
    <fieldset class="budget">
      <legend>Budget</legend>
      {hasCurve(choices) ? (
        <Curve choices={choices} selected={selected} />
      ) : (
        choices.length > 0 && <p class="note">{whyNoCurve(probe)}</p>
      )}
      <input
        type="range"
        aria-label="Budget"
        aria-valuetext={text}
        min={0}
        max={Math.max(0, choices.length - 1)}
        step={1}
        value={index}
        disabled={choices.length < 2}
        onChange={({ currentTarget }) => {
          const choice = choices[Number(currentTarget.value)];
          if (choice) onSelect(choice);
        }}
      />
      <p class="chosen">
        <strong>{text}</strong>
        {selected && <span>{planWords(selected.plan)}</span>}
      </p>
    </fieldset>
  );
}

const WIDTH = 360;
const HEIGHT = 160;
const LEFT = 34;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 24;

type Point = readonly [calls: number, quality: number];

function Curve({ choices, selected }: Pick<BudgetProps, 'choices' | 'selected'>) {
  const plans = pointsOf(choices, 'quality');
  const bestOfK = pointsOf(choices, 'best_of_k');
  const qualities = [...plans, ...bestOfK].map(([, quality]) => quality);
  const [low, high] = [Math.min(...qualities), Math.max(...qualities)];
  const [first, last] = [plans[0]![0], plans.at(-1)![0]];
  const x = (calls: number): number => LEFT + ((calls - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
  const y = (quality: number): number =>
    HEIGHT - BOTTOM - ((quality - low) / (high - low || 1)) * (HEIGHT - TOP - BOTTOM);
  const line = (points: readonly Point[]): string =>
    `M${points.map(([calls, quality]) => `${x(calls)} ${y(quality)}`).join('L')}`;
  const chosen = selected?.plan.expected;
  return (
    <figure class="curve">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={curveText(choices)}>
        <path class="axis" d={`M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}`} />
        <text x={LEFT - 6} y={y(high) + 4} text-anchor="end">
          {decimals(high)}
        </text>
        <text x={LEFT - 6} y={y(low) + 4} text-anchor="end">
          {decimals(low)}
        </text>
        {choices.map(({ calls }) => (
          <text key={calls} x={x(calls)} y={HEIGHT - 8} text-anchor="middle">
            {calls}
          </text>
        ))}
        {selected && <path class="guide" d={`M${x(selected.calls)} ${TOP}V${HEIGHT - BOTTOM}`} />}
        <path class="best-of-k" d={line(bestOfK)} />
        <path class="plans" d={line(plans)} />
        {plans.map(([calls, quality]) => (
          <circle key={calls} cx={x(calls)} cy={y(quality)} r={calls === selected?.calls ? 5 : 3} />
        ))}
      </svg>
      <figcaption>
        <span class="key plans">plans of the probe{chosen && ` ${decimals(chosen.quality.value)}`}</span>
        <span class="key best-of-k">best-of-k{chosen && ` ${decimals(chosen.best_of_k.value)}`}</span>
        <span>expected quality against denoiser calls</span>
      </figcaption>
    </figure>
  );
}

function hasCurve(choices: readonly PlanChoice[]): boolean {
  return pointsOf(choices, 'quality').length > 1;
}

function whyNoCurve(probe: string | undefined): string {
  if (probe === undefined) return 'Without a probe, a budget is spent on whole images.';
  return `${probe} has no plans with an expected quality, so these plans are written out; diffusion-probe plan --write computes better ones.`;
}

function pointsOf(choices: readonly PlanChoice[], figure: 'quality' | 'best_of_k'): Point[] {
  return choices.flatMap(({ calls, plan }): Point[] => {
    const quality = plan.expected?.[figure].value ?? null;
    return quality === null ? [] : [[calls, quality]];
  });
}

function curveText(choices: readonly PlanChoice[]): string {
  const parts = choices.map(
    ({ calls, plan: { expected } }) =>
      `${calls} calls: ${decimals(expected?.quality.value)}, best-of-k ${decimals(expected?.best_of_k.value)}`,
  );
  return `Expected quality. ${parts.join('; ')}`;
}
