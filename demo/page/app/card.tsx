/** One candidate in the grid: its picture, what was predicted, and what became of it. */
import type { Facts } from '../messages.js';
import { decimals } from './format.js';
import { Picture } from './picture.js';
import { ScoreChart } from './score-chart.js';
import type { Candidate } from './state.js';

interface CardProps {
  readonly candidate: Candidate;
  readonly facts: Facts;
  readonly word: number | undefined;
  readonly isBest: boolean;
  /** Dropped candidates show what they would have become. */
  readonly showsCompleted: boolean;
  readonly onOpen: () => void;
}

export function Card({ candidate, facts, word, isBest, showsCompleted, onOpen }: CardProps) {
  const { seed, droppedAt, completed, answers } = candidate;
  const shown = showsCompleted && completed ? completed : undefined;
  const quality = candidate.quality ?? shown?.quality;
  const score = answers.at(-1)?.result.score;
  const fate = fateOf(candidate, isBest);
  return (
    <li class="card" data-fate={fate.key} data-seed={seed} data-completed={shown ? '' : undefined}>
      <button type="button" class="open" onClick={onOpen} aria-haspopup="dialog">
        <Picture
          candidate={shown ? { pixels: shown.pixels, maps: candidate.maps } : candidate}
          facts={facts}
          word={word}
        />
        <span class="fate">{shown ? 'if kept' : fate.text}</span>
        <span class="hidden">
          Seed {seed}, step {candidate.step} of {facts.totalSteps}
          {droppedAt === undefined ? '' : `, dropped at step ${droppedAt}`}: details
        </span>
      </button>
      <div class="figures">
        <Figure name="score" value={decimals(score)} isGood={false} />
        <ScoreChart
          candidate={candidate}
          quality={quality}
          totalSteps={facts.totalSteps}
          width={96}
          height={32}
        />
        <Figure
          name="quality"
          value={decimals(quality)}
          isGood={quality !== undefined && quality >= facts.goodAt}
        />
      </div>
    </li>
  );
}

function Figure({ name, value, isGood }: { name: string; value: string; isGood: boolean }) {
  return (
    <p class={isGood ? 'figure good' : 'figure'}>
      <span>{name}</span> <strong>{value}</strong>
    </p>
  );
}

/** What became of a candidate so far. */
export function fateOf(
  { droppedAt, quality, step }: Candidate,
  isBest: boolean,
): { readonly key: string; readonly text: string } {
  if (droppedAt !== undefined) return { key: 'dropped', text: `dropped at step ${droppedAt}` };
  if (isBest) return { key: 'best', text: 'best of the kept' };
  if (quality !== undefined) return { key: 'kept', text: 'kept' };
  return { key: 'drawing', text: step === 0 ? 'noise' : `step ${step}` };
}
