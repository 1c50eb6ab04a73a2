/** The account of a drawing in words and bars. */
import { accountOf, verdictOf } from './account.js';
import { decimals, percent, short } from './format.js';
import type { Drawing } from './state.js';

interface AccountViewProps {
  readonly drawing: Drawing;
  readonly totalSteps: number;
}

export function AccountView({ drawing, totalSteps }: AccountViewProps) {
  const { calls, allCalls, best, others } = accountOf(drawing, totalSteps);
  const { phase, candidates, completingStep } = drawing;
  const isOver = phase === 'completing' || phase === 'done';
  const saved = allCalls - calls;
  return (
    <section class="account" aria-labelledby="account">
      <h2 id="account" class="hidden">
        The account
      </h2>
      <p>
        <strong>{calls}</strong> of {allCalls} denoiser calls spent
        {isOver && (
          <>
            , <strong class="saved">{percent(saved / (allCalls || 1))} saved</strong>
          </>
        )}
        .{others && best !== undefined && ` ${verdictOf(best, others)}`}
      </p>
      {others ? (
        <ul class="bars">
          <Bar name="the plan: best of the kept" value={best} cost={calls} isOurs />
          <Bar
            name={`best-of-k at the same cost, k = ${short(others.k)}`}
            value={others.bestOfK}
            cost={calls}
          />
          <Bar name="a random seed" value={others.random} cost={totalSteps} />
          <Bar name={`best of all ${candidates.length}`} value={others.bestOfAll} cost={allCalls} />
        </ul>
      ) : (
        <p class="note">
          {isOver
            ? `Now the dropped ones are drawn too, to see what they would have become: step ${completingStep} of ${totalSteps}.`
            : 'The true quality of each image is measured when it is finished.'}
        </p>
      )}
    </section>
  );
}

interface BarProps {
  readonly name: string;
  readonly value: number | undefined;
  /** Denoiser calls. */
  readonly cost: number;
  readonly isOurs?: boolean;
}

function Bar({ name, value, cost, isOurs = false }: BarProps) {
  return (
    <li class={isOurs ? 'ours' : undefined}>
      <span class="name">{name}</span>
      <span class="track">
        <span class="fill" style={{ inlineSize: `${100 * (value ?? 0)}%` }} />
      </span>
      <span class="value">{decimals(value)}</span>
      <span class="cost">{cost} calls</span>
    </li>
  );
}
