/** The scores of a candidate by step, as a line, with its true quality at the last step. */
import type { Candidate } from './state.js';

interface ScoreChartProps {
  readonly candidate: Pick<Candidate, 'answers' | 'droppedAt'>;
  /** The true quality, when it is to be seen. */
  readonly quality: number | undefined;
  readonly totalSteps: number;
  readonly width: number;
  readonly height: number;
}

const INSET = 5;

export function ScoreChart({ candidate, quality, totalSteps, width, height }: ScoreChartProps) {
  const { answers, droppedAt } = candidate;
  const x = (step: number): number => INSET + (step / totalSteps) * (width - 2 * INSET);
  const y = (value: number): number => height - INSET - value * (height - 2 * INSET);
  const points = answers.map(({ step, result }) => [x(step), y(result.score)] as const);
  return (
    <svg class="scores" viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
      <path class="axis" d={`M${INSET} ${y(0)}H${width - INSET}M${INSET} ${y(1)}H${width - INSET}`} />
      {points.length > 0 && <path class="line" d={`M${points.map((point) => point.join(' ')).join('L')}`} />}
      {points.map(([left, top], index) => (
        <circle
          key={left}
          class={answers[index]!.step === droppedAt ? 'drop' : 'point'}
          cx={left}
          cy={top}
          r={2.5}
        />
      ))}
      {quality !== undefined && <circle class="true" cx={x(totalSteps)} cy={y(quality)} r={3.5} />}
    </svg>
  );
}
