/** Everything about one candidate: its picture, what the service answered at each step, and a map for each word. */
import { useEffect, useRef } from 'preact/hooks';

import type { Facts } from '../messages.js';
import { fateOf } from './card.js';
import { decimals } from './format.js';
import { Picture } from './picture.js';
import { ScoreChart } from './score-chart.js';
import type { Candidate } from './state.js';

interface CandidateDialogProps {
  readonly candidate: Candidate;
  readonly words: readonly string[];
  readonly facts: Facts;
  readonly isBest: boolean;
  readonly onClose: () => void;
}

export function CandidateDialog({ candidate, words, facts, isBest, onClose }: CandidateDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const { seed, answers, maps, quality, completed } = candidate;
  const trueQuality = quality ?? completed?.quality;
  return (
    <dialog ref={dialog} aria-labelledby="candidate" onClose={onClose}>
      <header>
        <h2 id="candidate">
          Seed {seed}: {fateOf(candidate, isBest).text}
        </h2>
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </header>
      <div class="large">
        <Picture candidate={candidate} facts={facts} word={undefined} />
        <div>
          <h3>Score at each step</h3>
          <ScoreChart
            candidate={candidate}
            quality={trueQuality}
            totalSteps={facts.totalSteps}
            width={300}
            height={90}
          />
          <p class="note">
            The line is the predicted quality, from 0 to 1.
            {trueQuality !== undefined &&
              ` The ring at step ${facts.totalSteps} is the true quality, ${decimals(trueQuality)}.`}
          </p>
          {answers.length > 0 ? <Answers answers={answers} /> : <p class="note">Nothing was scored yet.</p>}
        </div>
      </div>
      {maps && (
        <>
          <h3>Attention to each word at step {candidate.step}</h3>
          <ul class="words">
            {words.map((word, index) => (
              <li key={index}>
                <Picture candidate={candidate} facts={facts} word={index} />
                {word}
              </li>
            ))}
          </ul>
        </>
      )}
    </dialog>
  );
}

function Answers({ answers }: Pick<Candidate, 'answers'>) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Answers of the service">
      <table>
        <thead>
          <tr>
            <th scope="col">step</th>
            <th scope="col">score</th>
            <th scope="col">p_good</th>
            <th scope="col">percentile</th>
            <th scope="col">rank</th>
            <th scope="col">decision</th>
          </tr>
        </thead>
        <tbody>
          {answers.map(({ step, result }) => (
            <tr key={step}>
              <th scope="row">{step}</th>
              <td>{decimals(result.score)}</td>
              <td>{decimals(result.pGood)}</td>
              <td>{result.percentile?.toFixed(0) ?? '–'}</td>
              <td>{result.rank}</td>
              <td>
                {result.decision} <code>{result.reason}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
